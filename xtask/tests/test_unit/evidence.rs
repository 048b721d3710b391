//! Nothing that a test binary prints is lost when the run is not ok: each case is
//! compared with `go test`.

use serde_json::json;

use super::common::go::Workspace;
use super::common::run;
use super::{Unit, package, skip, state};

/// Runs one package twice: as text and as JSON with `JUnit`.
struct Told {
    text: String,
    errors: String,
    report: serde_json::Value,
    junit: String,
}

fn told(workspace: &Workspace, words: &[&str]) -> Told {
    let said = run(&mut workspace.command(words));
    assert_eq!(said.code, Some(1), "{}{}", said.stdout, said.stderr);
    let junit = workspace.home.path("junit.xml");
    let with_junit = [&["--junit", junit.as_str()], words].concat();
    let (_, report) = workspace.json(&with_junit, &[]);
    Told {
        text: said.stdout,
        errors: said.stderr,
        report,
        junit: std::fs::read_to_string(junit).unwrap(),
    }
}

impl Told {
    /// Each text is in each form.
    fn shows_in_each_form(&self, texts: &[&str]) {
        let report = self.report.to_string();
        for (kind, form) in [
            ("text", &self.text),
            ("json", &report),
            ("junit", &self.junit),
        ] {
            for text in texts {
                assert!(form.contains(text), "{kind}: `{text}` is not in {form}");
            }
        }
    }
}

#[test]
fn a_timeout_shows_all_goroutines_and_names_the_test_that_hangs() {
    let test = r#"package hang

import (
	"testing"
	"time"
)

func TestQuick(t *testing.T) { t.Parallel() }

func TestHangs(t *testing.T) {
	t.Parallel()
	time.Sleep(time.Hour)
}

func TestHangsToo(t *testing.T) {
	t.Parallel()
	time.Sleep(time.Hour)
}

func TestWaits(t *testing.T) { t.Parallel() }
"#;
    let Some(workspace) = Workspace::with("a_timeout_shows", &[("hang/a_test.go", test)]) else {
        return;
    };
    // The first two slots are given out in the reverse order of their beginning.
    let words = ["./hang", "--timeout", "2s", "--", "-parallel=2"];
    let told = told(&workspace, &words);
    for (kind, text) in [("text", &told.text), ("junit", &told.junit)] {
        assert!(text.contains("hang/a_test.go:"), "{kind}: {text}");
        assert!(text.contains("goroutine "), "{kind}: {text}");
    }
    let hang = package(&told.report, "hang");
    let output = hang["output"].as_str().unwrap();
    assert!(
        output.contains("goroutine ") || hang.to_string().contains("goroutine "),
        "{hang:#}"
    );
    for test in ["TestQuick", "TestWaits"] {
        assert_ne!(state(hang, test), "aborted", "{hang:#}");
    }
    let hangs = ["TestHangs", "TestHangsToo"].map(|test| state(hang, test));
    assert!(hangs.contains(&"aborted"), "{hang:#}");
    let tests = hang["tests"].as_array().unwrap();
    for test in tests.iter().filter(|test| test["state"] == "aborted") {
        assert!(
            test["name"].as_str().unwrap().starts_with("TestHangs"),
            "{hang:#}"
        );
        assert!(test["seconds"].as_f64().unwrap() >= 1.0, "{hang:#}");
    }
    assert!(
        told.errors.contains("whole output of each package: "),
        "{}",
        told.errors
    );
}

#[test]
fn a_panic_of_a_goroutine_that_outlives_its_test_keeps_its_trace() {
    let test = r#"package late

import (
	"testing"
	"time"
)

func TestStarts(t *testing.T) {
	t.Parallel()
	go func() {
		time.Sleep(300 * time.Millisecond)
		var m map[string]int
		m["x"] = 1
	}()
}

func TestMain(m *testing.M) {
	m.Run()
	time.Sleep(time.Minute)
}
"#;
    let Some(workspace) = Workspace::with("a_panic_of_a_goroutine", &[("late/a_test.go", test)])
    else {
        return;
    };
    let told = told(&workspace, &["./late"]);
    told.shows_in_each_form(&["late.TestStarts.func1", "late/a_test.go:13"]);
}

#[test]
fn a_race_is_shown_though_another_test_is_blamed() {
    let name = "a_race_is_shown";
    let test = r#"package race

import (
	"testing"
	"time"
)

var n int

func TestA(t *testing.T) {
	go func() { n++ }()
	n++
	time.Sleep(100 * time.Millisecond)
}

func TestB(t *testing.T) {}
"#;
    let Some(workspace) = Workspace::with(name, &[("race/a_test.go", test)]) else {
        return;
    };
    if foundation::ctx::host::Host::which("cc").is_none() {
        return skip(name, "no C compiler, which Go's race detector needs");
    }
    let told = told(&workspace, &["./race", "--race"]);
    told.shows_in_each_form(&["WARNING: DATA RACE", "race/a_test.go:11"]);
}

#[test]
fn what_the_package_prints_and_the_seed_are_shown_with_a_failed_test() {
    let test = r#"package seed

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	fmt.Println("a server listens on port 1234")
	os.Exit(m.Run())
}

func TestFails(t *testing.T) { t.Error("it fails") }
"#;
    let Some(workspace) = Workspace::with("the_seed", &[("seed/a_test.go", test)]) else {
        return;
    };
    let told = told(&workspace, &["./seed", "--", "-shuffle=7"]);
    assert!(
        told.text.contains("a server listens on port 1234"),
        "{}",
        told.text
    );
    assert!(told.text.contains("(-shuffle=7)"), "{}", told.text);
    let seed = package(&told.report, "seed");
    assert_eq!(seed["shuffle"], "7");
    assert!(
        seed["output"]
            .as_str()
            .unwrap()
            .contains("a server listens")
    );
    assert!(
        told.junit.contains(r#"name="shuffle" value="7""#),
        "{}",
        told.junit
    );
    assert!(told.junit.contains("a server listens"), "{}", told.junit);
    assert!(
        told.junit.contains(r#"message="a_test.go:14: it fails""#),
        "{}",
        told.junit
    );
}

#[test]
fn each_test_has_its_own_lines_below_its_own_result() {
    let test = r#"package table

import (
	"fmt"
	"testing"
)

func TestTable(t *testing.T) {
	for _, name := range []string{"alpha", "beta"} {
		t.Run(name, func(t *testing.T) {
			t.Attr("owner", "network")
			fmt.Println("=== of the test itself")
			t.Errorf("error of %s", name)
		})
	}
}
"#;
    let file = ("internal/table/a_test.go", test);
    let go_mod = ("go.mod", "module github.com/siderolabs/talos\n\ngo 1.25\n");
    let Some(workspace) = Workspace::with("each_test_has_its_own_lines", &[file, go_mod]) else {
        return;
    };
    let told = told(&workspace, &["./internal/table"]);
    let lines: Vec<&str> = told
        .text
        .lines()
        .skip_while(|line| !line.contains("--- FAIL"))
        .collect();
    let wanted = [
        "    --- FAIL: TestTable (",
        "        --- FAIL: TestTable/alpha (",
        "        === of the test itself",
        "            internal/table/a_test.go:13: error of alpha",
        "        --- FAIL: TestTable/beta (",
        "        === of the test itself",
        "            internal/table/a_test.go:13: error of beta",
    ];
    for (at, (line, wanted)) in lines.iter().zip(wanted).enumerate() {
        assert!(line.starts_with(wanted), "line {at}: {}", told.text);
    }
    assert!(lines.len() > wanted.len(), "{}", told.text);
    let table = package(&told.report, "table");
    let tests = table["tests"].as_array().unwrap();
    let alpha = tests.iter().find(|test| test["name"] == "TestTable/alpha");
    assert_eq!(alpha.unwrap()["attributes"], json!({"owner": "network"}));
    assert!(
        told.junit.contains(r#"name="owner" value="network""#),
        "{}",
        told.junit
    );
}

/// The elements of a document, with their attributes, in the order of their beginning.
fn elements(xml: &str) -> Vec<(usize, String, Vec<String>)> {
    let mut depth = 0;
    let mut out = Vec::new();
    for part in xml.split('<').skip(1) {
        let tag = part.split('>').next().unwrap();
        if tag.starts_with('?') {
            continue;
        }
        if tag.starts_with('/') {
            depth -= 1;
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap().to_owned();
        let keys = tag.match_indices("=\"").map(|(at, _)| {
            let before = &tag[..at];
            before[before.rfind(' ').unwrap() + 1..].to_owned()
        });
        out.push((depth, name, keys.collect()));
        if !tag.ends_with('/') {
            depth += 1;
        }
    }
    assert_eq!(depth, 0, "{xml}");
    out
}

#[test]
fn junit_has_what_its_readers_require() {
    let test = "package p\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) {\n\tt.Run(\"b\", func(t *testing.T) { t.Error(\"<&>\") })\n}\n\nfunc TestS(t *testing.T) { t.Skip(\"why\") }\n";
    let Some(workspace) = Workspace::with("junit_has_what", &[("p/a_test.go", test)]) else {
        return;
    };
    let junit = told(&workspace, &["./p"]).junit;
    let all = elements(&junit);
    // Order and nesting as in the schema of Jenkins' xUnit plugin (`junit-10.xsd`).
    let order = ["properties", "testcase", "system-out", "system-err"];
    let mut last = 0;
    for (depth, name, keys) in &all {
        let has = |wanted: &[&str]| {
            for key in wanted {
                assert!(
                    keys.iter().any(|it| it == key),
                    "{name} has no {key}: {junit}"
                );
            }
        };
        match (depth, name.as_str()) {
            (0, "testsuites") => has(&["tests", "failures", "errors", "time"]),
            (1, "testsuite") => {
                has(&["name", "tests", "failures", "errors", "time", "timestamp"]);
                last = 0;
            }
            (2, name) => {
                let at = order.iter().position(|it| *it == name);
                let at = at.unwrap_or_else(|| panic!("{name} in a testsuite: {junit}"));
                assert!(at >= last, "{name} comes too late: {junit}");
                last = at;
                if name == "testcase" {
                    has(&["name", "classname", "time"]);
                }
            }
            (3, "property") => has(&["name", "value"]),
            (3, "failure") => has(&["message", "type"]),
            (3, "skipped") => has(&["message"]),
            other => panic!("{other:?}: {junit}"),
        }
    }
    let stamp = junit.split("timestamp=\"").nth(1).unwrap();
    let stamp = stamp.split('"').next().unwrap();
    assert!(stamp.parse::<jiff::Timestamp>().is_ok(), "{stamp}");
    assert!(
        junit.contains("name=\"go.version\" value=\"go1."),
        "{junit}"
    );
    assert!(
        junit.contains("message=\"a_test.go:6: &lt;&amp;&gt;\""),
        "{junit}"
    );
}
