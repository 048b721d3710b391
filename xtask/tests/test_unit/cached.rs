//! Results of packages that have not changed come from the cache, as with `go test`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
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
    let shown = run(&mut workspace.xtask(&["runs", "show"])).stdout;
    for step in ["1. ok ", "2. ok "] {
        assert!(shown.contains(step), "{shown}");
    }
}

const EMBEDS: &str = r#"package p

import (
	_ "embed"
	"testing"
)

//go:embed testdata/input
var input string

func TestInput(t *testing.T) {
	if input != "good" || answer != 42 {
		t.Error(input, answer)
	}
}
"#;

/// Which go commands are run is written down on the way to go.
#[test]
fn go_is_not_asked_about_what_it_has_built() {
    let files = [
        ("p/a_test.go", EMBEDS),
        ("p/a.go", "package p\n\nvar answer = 42\n"),
        ("p/testdata/input", "good"),
        ("untested/a.go", "package untested\n"),
    ];
    let Some(workspace) = Workspace::with("go_is_not_asked", &files) else {
        return;
    };
    let tools = tempfile::tempdir().unwrap();
    let log = tools.path().join("log");
    let go = run(Command::new("sh").args(["-c", "command -v go"])).stdout;
    let script = format!(
        "#!/bin/sh\necho \"$1\" >>{}\nexec {} \"$@\"\n",
        log.display(),
        go.trim()
    );
    let wrapper = tools.path().join("go");
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        tools.path().display(),
        std::env::var("PATH").unwrap()
    );
    // Whether go built something, and the exit code.
    let asks = |words: &[&str], env: &[(&str, &str)]| {
        std::fs::write(&log, "").unwrap();
        let env = [&[("PATH", path.as_str())], env].concat();
        let (said, _) = workspace.json(&[&["./p", "./untested"], words].concat(), &env);
        let log = std::fs::read_to_string(&log).unwrap();
        (log.lines().any(|line| line == "test"), said.code.unwrap())
    };
    assert_eq!(asks(&[], &[]), (true, 0));
    assert_eq!(asks(&[], &[]), (false, 0));
    assert_eq!(asks(&["--", "-count=1"], &[]), (false, 0), "it only runs");

    // An edit of the same length whose time is set back.
    let source = workspace.dir.join("p/a.go");
    let modified = source.metadata().unwrap().modified().unwrap();
    let write = |answer: u32| {
        std::fs::write(&source, format!("package p\n\nvar answer = {answer}\n")).unwrap();
        let file = std::fs::File::options().write(true).open(&source).unwrap();
        file.set_modified(modified).unwrap();
    };
    write(41);
    assert_eq!(asks(&[], &[]), (true, 1));
    assert_eq!(asks(&[], &[]), (false, 1));
    write(42);
    assert_eq!(asks(&[], &[]), (true, 0));

    let input = workspace.dir.join("p/testdata/input");
    std::fs::write(&input, "evil").unwrap();
    assert_eq!(asks(&[], &[]), (true, 1), "what is embedded");
    std::fs::write(&input, "good").unwrap();
    assert_eq!(asks(&[], &[]), (true, 0));

    let broken = workspace.dir.join("untested/b.go");
    std::fs::write(&broken, "package untested\n\nvar x int = \"\"\n").unwrap();
    assert_eq!(asks(&[], &[]), (true, 1), "a package without tests");
    assert_eq!(asks(&[], &[]), (true, 1), "what failed is built again");
    std::fs::remove_file(broken).unwrap();
    assert_eq!(asks(&[], &[]), (true, 0));
    assert_eq!(asks(&[], &[]), (false, 0));

    assert_eq!(asks(&["--tags", "other"], &[]), (true, 0));
    assert_eq!(asks(&["--tags", "other"], &[]), (false, 0));
    let trimmed = [("GOFLAGS", "-buildvcs=false -trimpath")];
    assert_eq!(asks(&[], &trimmed), (true, 0));
    assert_eq!(asks(&[], &[]), (true, 0), "they share a binary");

    let binaries = format!("{}/**/p.test", workspace.home.path(""));
    let binaries: Vec<_> = glob::glob(&binaries).unwrap().flatten().collect();
    assert!(!binaries.is_empty());
    for binary in &binaries {
        std::fs::remove_file(binary).unwrap();
    }
    assert_eq!(asks(&[], &[]), (true, 0), "no binary");
    assert_eq!(asks(&[], &[]), (false, 0));

    // What is outside of the checkout is not looked at, so go has to.
    let overlay = tools.path().join("overlay.json");
    std::fs::write(&overlay, "{}").unwrap();
    let overlay = format!("-buildvcs=false -overlay={}", overlay.display());
    for _ in 0..2 {
        assert_eq!(asks(&[], &[("GOFLAGS", &overlay)]), (true, 0));
    }
    let module = workspace.dir.join("go.mod");
    let text = std::fs::read_to_string(&module).unwrap();
    let text = format!("{text}\nreplace example.com/x => ../outside\n");
    std::fs::write(&module, text).unwrap();
    for _ in 0..2 {
        assert_eq!(asks(&[], &[]), (true, 0));
    }
}
