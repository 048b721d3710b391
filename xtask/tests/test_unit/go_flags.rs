//! Flags of `go test` after `--`: each does what it does with go.

use serde_json::Value;

use super::common::go::Workspace;
use super::common::run;
use super::{Unit, go_test, package};

const SUM: (&str, &str) = (
    "sum/sum.go",
    "package sum\n\nfunc Sum(a, b int) int {\n\tif a < 0 {\n\t\treturn b\n\t}\n\treturn a + b\n}\n",
);
const TEST: (&str, &str) = (
    "sum/sum_test.go",
    r#"package sum

import "testing"

func TestSum(t *testing.T) {
	t.Log("short:", testing.Short())
	if Sum(1, 2) != 3 {
		t.Error("no sum")
	}
}

func TestOther(t *testing.T) { t.Log(t.ArtifactDir()) }

func BenchmarkSum(b *testing.B) {
	for i := 0; i < b.N; i++ {
		Sum(i, i)
	}
}

func FuzzSum(f *testing.F) { f.Fuzz(func(t *testing.T, a int) { Sum(a, 1) }) }
"#,
);
const PLAIN: (&str, &str) = ("plain/plain.go", "package plain\n");

fn workspace(test: &str) -> Option<Workspace> {
    let version = run(std::process::Command::new("go").args(["env", "GOVERSION"]));
    let minor = version.stdout.trim().strip_prefix("go1.");
    let minor = minor.and_then(|text| text.split('.').next()?.parse::<u32>().ok());
    if minor.is_some_and(|minor| minor < 26) {
        super::skip(test, "t.ArtifactDir needs Go 1.26");
        return None;
    }
    let go_mod = ("go.mod", "module github.com/siderolabs/talos\n\ngo 1.26\n");
    Workspace::with(test, &[go_mod, SUM, TEST, PLAIN])
}

#[test]
fn flags_that_print_and_write_do_as_with_go() {
    let Some(workspace) = workspace("flags_that_print_and_write") else {
        return;
    };
    let text = |words: &[&str]| {
        let said = run(&mut workspace.command(words));
        assert_eq!(
            said.code,
            Some(0),
            "{words:?}: {}{}",
            said.stdout,
            said.stderr
        );
        said.stdout
    };
    let verbose = text(&["./sum", "--", "-v", "-short", "-count=2"]);
    assert_eq!(
        verbose.matches("--- PASS: TestSum (").count(),
        2,
        "{verbose}"
    );
    assert_eq!(
        verbose.matches("sum/sum_test.go:6: short: true").count(),
        2,
        "{verbose}"
    );

    let (said, report) = workspace.json(&["./sum", "--", "-bench=.", "-benchtime=10x"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("ns/op"), "{}", said.stderr);
    let benchmark = &package(&report, "sum")["benchmarks"][0];
    assert!(
        benchmark["name"]
            .as_str()
            .unwrap()
            .starts_with("BenchmarkSum"),
        "{benchmark}"
    );
    assert_eq!(benchmark["iterations"], 10);
    assert!(
        benchmark["metrics"]["ns/op"].as_f64().is_some(),
        "{benchmark}"
    );

    // The total is that of go.
    let covered = text(&["./sum", "--", "-coverprofile=ours.out"]);
    let go = go_test(&workspace, &["-coverprofile=theirs.out", "./sum"]);
    assert!(
        go.stdout.contains("coverage: 66.7% of statements"),
        "{}",
        go.stdout
    );
    assert_eq!(
        covered.matches("coverage: 66.7% of statements").count(),
        2,
        "{covered}"
    );
    let read = |name: &str| {
        let text = std::fs::read_to_string(workspace.dir.join(name)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(read("ours.out"), read("theirs.out"));

    std::fs::create_dir(workspace.dir.join("out")).unwrap();
    text(&[
        "./sum",
        "--",
        "-cpuprofile=cpu.out",
        "-trace=t.out",
        "-outputdir=out",
        "-artifacts",
    ]);
    for name in ["out/cpu.out", "out/t.out", "out/_artifacts"] {
        assert!(workspace.dir.join(name).exists(), "{name}");
    }
    assert!(!workspace.dir.join("sum/cpu.out").exists());
    text(&["./sum", "--", "-memprofile=mem.out"]);
    assert!(workspace.dir.join("mem.out").exists());
}

#[test]
fn what_cannot_be_done_is_said_before_anything_runs() {
    let Some(workspace) = workspace("what_cannot_be_done_is_said") else {
        return;
    };
    for (words, hint) in [
        (&["./sum", "--", "-fuzz=FuzzSum"][..], "go test -fuzz"),
        (&["./sum", "--", "-list=."], "test list"),
        (&["./sum", "-count=1"], "-- -count=1"),
        (&["./sum", "-v"], "-- -v"),
        (&["./sum", "-short"], "-- -short"),
        (&["./sum", "-race"], "--race"),
        (&["./sum", "--", "-json"], "--jsonfile"),
    ] {
        let said = run(&mut workspace.command(words));
        assert_eq!(said.code, Some(2), "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(hint), "{words:?}: {}", said.stderr);
    }
    for option in ["--junit", "--report", "--jsonfile"] {
        let said = run(&mut workspace.command(&["./sum", option, "/proc/none/x"]));
        assert_ne!(said.code, Some(0), "{option}");
        assert!(
            said.stderr.contains("cannot write `/proc/none/x`"),
            "{}",
            said.stderr
        );
        assert!(!said.stdout.contains("sum"), "it ran: {}", said.stdout);
    }
}

/// Events without what differs between two runs.
fn events(text: &str) -> Vec<String> {
    let time = regex::Regex::new(r"[0-9.]+s\b|/tmp/[^ ]*[0-9]").unwrap();
    let events = text.lines().map(|line| {
        let mut event: Value =
            serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}"));
        let fields = event.as_object_mut().unwrap();
        fields.remove("Time");
        fields.remove("Elapsed");
        time.replace_all(&event.to_string(), "T").into_owned()
    });
    events.collect()
}

#[test]
fn the_events_in_a_file_are_those_of_go() {
    let Some(workspace) = workspace("the_events_in_a_file") else {
        return;
    };
    let said = run(&mut workspace.command(&["./sum", "--jsonfile", "events.json"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let ours = std::fs::read_to_string(workspace.dir.join("events.json")).unwrap();
    let theirs = go_test(&workspace, &["-json", "-count=1", "./sum"]).stdout;
    let (mut ours, mut theirs) = (events(&ours), events(&theirs));
    ours.retain(|event| !event.contains("artifact"));
    theirs.retain(|event| !event.contains("artifact"));
    assert_eq!(ours, theirs);
}

#[test]
fn the_events_of_failed_builds_are_those_of_go() {
    let bad = "package bad\n\nvar X int = \"a\"\n";
    let own = "package bad\n\nimport \"testing\"\n\nfunc TestB(t *testing.T) {}\n";
    let imports = "package imp\n\nimport (\n\t\"testing\"\n\n\t_ \"github.com/siderolabs/talos/bad\"\n)\n\n\
                   func TestC(t *testing.T) {}\n";
    let vet = "package vet\n\nimport (\n\t\"fmt\"\n\t\"testing\"\n)\n\n\
               func TestD(t *testing.T) { fmt.Printf(\"%d\", \"x\") }\n";
    let files = [
        ("bad/bad.go", bad),
        ("bad/b_test.go", own),
        ("imp/c_test.go", imports),
        ("vet/d_test.go", vet),
        ("plain/plain.go", &bad.replace("bad", "plain")),
    ];
    let Some(workspace) = Workspace::with("the_events_of_failed_builds", &files) else {
        return;
    };
    let said = run(&mut workspace.command(&["./...", "--jsonfile", "events.json"]));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let ours = std::fs::read_to_string(workspace.dir.join("events.json")).unwrap();
    let theirs = go_test(&workspace, &["-json", "-count=1", "./..."]).stdout;
    // Packages are built in any order.
    let (mut ours, mut theirs) = (events(&ours), events(&theirs));
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs, "{ours:#?} {theirs:#?}");
}

#[test]
fn output_has_the_form_that_is_asked_for() {
    let Some(workspace) = workspace("output_has_the_form") else {
        return;
    };
    let text = |words: &[&str]| run(&mut workspace.command(&[&["./..."], words].concat())).stdout;
    let dots = text(&["--show", "dots"]);
    // The line of a package without tests may stand before them: packages end in any order.
    assert!(dots.lines().any(|line| line == "..."), "{dots}");
    assert!(!text(&["--show", "failures"]).contains("ok "));
    let packages = text(&[]);
    assert!(
        packages.contains("?    plain  [no test files]"),
        "{packages}"
    );
    let slowest = text(&["--slowest", "2"]);
    let listed = slowest
        .lines()
        .skip_while(|line| *line != "Slowest")
        .skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    assert_eq!(listed.count(), 2, "{slowest}");
    let many = run(&mut workspace.command(&["./sum", "--until-fail=3"]));
    assert!(
        many.stderr.contains("tests ran up to 3 times"),
        "{}",
        many.stderr
    );
}

#[test]
fn tests_run_until_one_fails() {
    let test = r#"package p

import (
	"os"
	"testing"
)

func TestThirdTime(t *testing.T) {
	file, _ := os.OpenFile(os.Getenv("FLAKY_DIR")+"/runs", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	file.WriteString("x")
	if info, _ := file.Stat(); info.Size() >= 3 {
		t.Error("the third time it fails")
	}
}
"#;
    let Some(workspace) = Workspace::with("tests_run_until_one_fails", &[("p/a_test.go", test)])
    else {
        return;
    };
    let dir = workspace.home.path("flaky-dir");
    std::fs::create_dir(&dir).unwrap();
    let said = run(workspace
        .command(&["./p", "--until-fail"])
        .env("FLAKY_DIR", &dir));
    assert_eq!(said.code, Some(1), "{}{}", said.stdout, said.stderr);
    assert!(
        said.stdout.contains("the third time it fails"),
        "{}",
        said.stdout
    );
    assert_eq!(std::fs::read(dir.join("runs")).unwrap(), b"xxx");
}
