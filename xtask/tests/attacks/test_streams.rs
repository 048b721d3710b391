//! What a test binary prints, and the reports of other machines. The go command
//! is one of ours, which hands out the binary of the case.

use std::fmt::Write;

use std::os::unix::fs::PermissionsExt;

use crate::Case;
use crate::stage::{Outcome, Stage};

const GO: &str = r#"#!/bin/sh
[ "$1" = test ] || { echo go1.24.5; exit 0; }
while [ $# -gt 0 ]; do
  if [ "$1" = -o ]; then out=$2; shift; fi
  last=$1
  shift
done
# Whole or not at all, as go has it.
cp "$HOME/binary" "$out/new"
mv "$out/new" "$out/${last##*/}.test"
"#;

/// A checkout whose one package has this binary.
fn unit(stage: &Stage, script: &str, more: &[&str]) -> Outcome {
    stage.write(
        "talos/go.mod",
        "module github.com/siderolabs/talos\n\ngo 1.24\n",
    );
    stage.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
    stage.write(
        "talos/ours/a_test.go",
        "package ours\nimport \"testing\"\nfunc TestA(t *testing.T) {}\n",
    );
    for (name, text) in [("bin/go", GO), ("binary", script)] {
        let path = stage.write(name, text);
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!(
        "{}:{}",
        stage.home.join("bin"),
        std::env::var("PATH").unwrap()
    );
    let words = [&["-C", "talos", "test", "unit", "--retries", "0"], more].concat();
    stage.run(stage.xtask(&words).env("PATH", path))
}

/// Words of the testing package, each line with its mark.
fn said(lines: &str) -> String {
    let marked: Vec<String> = lines.lines().map(|line| format!("\x16{line}")).collect();
    format!("#!/bin/sh\ncat <<'EOF'\n{}\nEOF\n", marked.join("\n"))
}

/// The report of a leg, with changes.
fn report(number: u64, of: u64) -> serde_json::Value {
    serde_json::json!({
        "schema": 1, "seconds": 1.0, "interrupted": false,
        "counts": {"total": 1, "passed": 1},
        "packages": [{"package": "a", "verdict": "passed", "tests": [{"name": "TestA", "state": "passed"}]}],
        "left_out": [], "not_run": [],
        "shard": {
            "number": number, "of": of, "commit": null, "platform": "linux/amd64",
            "options": {
                "packages": [], "tags": [], "run": null, "sudo": "never", "race": false, "timeout": null,
                "retries": 0, "strict": false, "allow_flaky": false, "go_flags": [],
            },
            "split": [["a"]], "tests": {"a": ["TestA"]},
        },
    })
}

fn merge(stage: &Stage) -> Outcome {
    stage.attack(&["test", "report", "--merge", "legs"])
}

pub const CASES: &[Case] = &[
    Case {
        name: "a_result_that_a_test_prints",
        kind: "output taken for a result",
        attack: |stage| {
            let script = "#!/bin/sh\nprintf '\\026=== RUN   TestA\\n--- PASS: TestA (0.00s)\\nPASS\\n\
                          \\026--- FAIL: TestA (0.00s)\\n\\026FAIL\\n'\nexit 1\n";
            unit(stage, script, &[]).with(1).says("1 failed");
        },
    },
    Case {
        name: "a_binary_that_ends_as_if_all_passed",
        kind: "silence taken for success",
        attack: |stage| {
            unit(stage, &said("=== RUN   TestA"), &[]).with(1);
        },
    },
    Case {
        name: "a_binary_that_says_nothing",
        kind: "silence taken for success",
        attack: |stage| {
            let said = unit(stage, "#!/bin/sh\nkill -9 $$\n", &[]);
            said.with(1).says("killed by signal 9");
        },
    },
    Case {
        name: "three_hundred_thousand_tests",
        kind: "memory without a bound",
        attack: |stage| {
            let script = "#!/bin/sh\nseq 1 320000 | sed 's/.*/\\x16=== RUN   TestX&\\nsaid/'\n\
                          printf '\\026FAIL\\n'\nexit 1\n";
            unit(stage, script, &[]).with(1);
        },
    },
    Case {
        name: "a_gigabyte_of_output",
        kind: "memory without a bound",
        attack: |stage| {
            let script = "#!/bin/sh\nfor n in 1 2 3 4 5 6 7 8; do\nprintf '\\026=== RUN   TestX%s\\n' $n\n\
                          head -c 134217728 /dev/zero | tr '\\0' x\ndone\nprintf '\\n\\026FAIL\\n'\nexit 1\n";
            unit(stage, script, &[]).with(1);
        },
    },
    Case {
        name: "lines_of_marks_alone",
        kind: "work without a bound",
        attack: |stage| {
            let script = "#!/bin/sh\nhead -c 30000000 /dev/zero | tr '\\0' '\\026'\nexit 1\n";
            unit(stage, script, &[]).with(1);
        },
    },
    Case {
        name: "subtests_a_thousand_deep",
        kind: "recursion without a bound",
        attack: |stage| {
            let mut lines = "=== RUN   TestA\n--- FAIL: TestA (0.00s)\n".to_owned();
            for level in 1..900 {
                let name = format!("TestA{}", "/b".repeat(level));
                let indent = "    ".repeat(level);
                let _ = writeln!(lines, "{indent}--- FAIL: {name} (0.00s)");
            }
            unit(stage, &(said(&(lines + "FAIL")) + "exit 1\n"), &[]).with(1);
        },
    },
    Case {
        name: "names_that_a_terminal_obeys",
        kind: "a name reaches the terminal",
        attack: |stage| {
            let name = "TestA/\x1b]52;c;eA==\x07\u{202e}\x1b[2J";
            let lines = format!(
                "=== RUN   TestA\n=== RUN   {name}\n--- FAIL: TestA (0.00s)\n    --- FAIL: {name} (0.00s)\nFAIL"
            );
            for more in [&[][..], &["--json"]] {
                unit(stage, &(said(&lines) + "exit 1\n"), more)
                    .with(1)
                    .is_plain();
            }
        },
    },
    Case {
        name: "seconds_that_are_no_number",
        kind: "arithmetic on a claim",
        attack: |stage| {
            for seconds in ["NaN", "inf", "-1", "1e400", "99999999999999999999"] {
                let lines = format!("=== RUN   TestA\n--- PASS: TestA ({seconds}s)\nPASS");
                unit(stage, &said(&lines), &[]).with(0);
                stage
                    .attack(&["-C", "talos", "test", "shards", "--by-time", "--n", "2"])
                    .ended();
            }
        },
    },
    Case {
        name: "legs_without_number",
        kind: "work without a bound",
        attack: |stage| {
            stage.write("legs/1.json", report(1, u64::MAX).to_string());
            merge(stage).with(3).says("legs");
            stage.write("legs/1.json", report(1, 9000).to_string());
            merge(stage)
                .with(3)
                .says("leg 2/9000 is missing")
                .says("more");
        },
    },
    Case {
        name: "counts_that_overflow",
        kind: "arithmetic on a claim",
        attack: |stage| {
            for number in [1, 2] {
                let mut report = report(number, 2);
                report["counts"]["total"] = u64::MAX.into();
                report["counts"]["passed"] = u64::MAX.into();
                report["seconds"] = serde_json::json!(1e308);
                stage.write(&format!("legs/{number}.json"), report.to_string());
            }
            merge(stage).ended();
        },
    },
    Case {
        name: "a_leg_that_is_there_twice",
        kind: "a claim is counted",
        attack: |stage| {
            for name in ["a", "b"] {
                stage.write(&format!("legs/{name}.json"), report(1, 1).to_string());
            }
            merge(stage).with(3).says("2 times");
        },
    },
    Case {
        name: "reports_that_are_none",
        kind: "what is opened is not what it seems",
        attack: |stage| {
            stage.write("legs/1.json", report(1, 2).to_string());
            stage.fifo("legs/2.json");
            merge(stage).with(3).says("2.json").says("a FIFO");
            std::fs::remove_file(stage.home.join("legs/2.json")).unwrap();
            stage.link("legs/2.json", "/dev/zero");
            merge(stage).with(3).says("2.json").says("a device");
            std::fs::remove_file(stage.home.join("legs/2.json")).unwrap();
            stage.write("legs/2.json", "[".repeat(1_000_000));
            merge(stage).with(3).says("2.json");
            let path = stage.write("legs/2.json", "");
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(3 << 30).unwrap();
            merge(stage).with(3).says("2.json").says("larger than");
        },
    },
    Case {
        name: "times_that_are_none",
        kind: "what is opened is not what it seems",
        attack: |stage| {
            unit(
                stage,
                &said("=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS"),
                &[],
            )
            .with(0);
            stage.fifo("times.json");
            let words = [
                "-C",
                "talos",
                "test",
                "list",
                "--shard",
                "1/2",
                "--times",
                "times.json",
            ];
            stage.attack(&words).with(2).says("a FIFO");
        },
    },
];
