//! Results of packages that have not changed come from the cache, as with `go test`.

use std::time::{Duration, SystemTime};

use super::common::go::Workspace;
use super::common::run;
use super::{Unit, go_test, package, state};

const TEST: &str = r#"package p

import (
	"net"
	"os"
	"testing"
)

func TestReads(t *testing.T) {
	text, err := os.ReadFile("testdata/input")
	if err != nil || string(text) != "good" {
		t.Error(string(text), err)
	}
	os.WriteFile(t.TempDir()+"/x", text, 0o600)
	if os.Getenv("CI") == "bad" {
		t.Error("CI is bad")
	}
}

func TestSkips(t *testing.T) { t.Skip("no reason") }
"#;
const HOST: &str = r#"package host

import (
	"os"
	"testing"
)

func TestHost(t *testing.T) { os.ReadFile("/proc/uptime") }
"#;

#[test]
fn a_package_runs_again_when_what_it_reads_has_changed() {
    let test = TEST.replace("\t\"net\"\n", "");
    let files = [
        ("p/a_test.go", test.as_str()),
        ("p/testdata/input", "good"),
        ("host/a_test.go", HOST),
    ];
    let Some(workspace) = Workspace::with("a_package_runs_again", &files) else {
        return;
    };
    let input = workspace.dir.join("p/testdata/input");
    let write = |text: &str, seconds: u64| {
        std::fs::write(&input, text).unwrap();
        let file = std::fs::File::options().write(true).open(&input).unwrap();
        let at = SystemTime::now() - Duration::from_secs(seconds);
        file.set_modified(at).unwrap();
    };
    write("good", 100);
    let is_cached = |words: &[&str], env: &[(&str, &str)]| {
        let (said, report) = workspace.json(&[&["./p"], words].concat(), env);
        (package(&report, "p")["cached"] == true, said.code.unwrap())
    };
    assert_eq!(is_cached(&[], &[]), (false, 0));
    let (said, report) = workspace.json(&["./p"], &[]);
    let p = package(&report, "p");
    assert_eq!(p["cached"], true, "{}", said.stderr);
    assert_eq!(
        (state(p, "TestReads"), state(p, "TestSkips")),
        ("passed", "skipped")
    );
    assert!(
        said.stderr
            .contains("ok   p  (cached)  1 passed  1 skipped"),
        "{}",
        said.stderr
    );
    // go is of the same opinion.
    assert!(!go_test(&workspace, &["./p"]).stdout.contains("(cached)"));
    assert!(go_test(&workspace, &["./p"]).stdout.contains("(cached)"));
    assert_eq!(is_cached(&["--", "-count=1"], &[]), (false, 0));
    assert_eq!(is_cached(&["--", "-short"], &[]), (false, 0));
    assert_eq!(is_cached(&["-run", "TestReads"], &[]), (false, 0));
    assert_eq!(is_cached(&[], &[("CI", "bad")]), (false, 1));
    assert_eq!(is_cached(&[], &[]), (true, 0));
    write("evil", 50);
    assert_eq!(is_cached(&[], &[]), (false, 1), "a failure");
    assert_eq!(is_cached(&[], &[]), (false, 1), "a failure is never kept");
    write("good", 10);
    assert_eq!(is_cached(&[], &[]), (false, 0));
    assert_eq!(is_cached(&[], &[]), (true, 0));
    let source = workspace.dir.join("p/a_test.go");
    let changed = test.replace("CI is bad", "CI is worse");
    std::fs::write(source, changed).unwrap();
    assert_eq!(is_cached(&[], &[]), (false, 0), "the source has changed");

    for _ in 0..2 {
        let said = run(&mut workspace.command(&["./host"]));
        assert!(
            !said.stdout.contains("(cached)"),
            "the host's state: {}",
            said.stdout
        );
    }
}
