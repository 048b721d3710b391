//! Retries and reruns keep the selection of the first run.

use serde_json::json;

use super::common::go::Workspace;
use super::common::run;
use super::{Unit, package};

#[test]
fn retries_keep_run_and_skip() {
    let test = r#"package p

import (
	"os"
	"testing"
)

func TestFlaky(t *testing.T) {
	t.Run("good", func(t *testing.T) {
		path := os.Getenv("FLAKY_DIR") + "/seen"
		if _, err := os.Stat(path); err != nil {
			os.WriteFile(path, nil, 0o600)
			t.Error("the first time it fails")
		}
	})
	t.Run("bad", func(t *testing.T) { t.Error("always fails here") })
}
"#;
    let Some(workspace) = Workspace::with("retries_keep_run_and_skip", &[("p/a_test.go", test)])
    else {
        return;
    };
    for words in [
        &["./p", "--retries", "1", "-run", "TestFlaky/good"][..],
        &["./p", "--retries", "1", "--", "-skip", "TestFlaky/bad"],
    ] {
        let dir = workspace.home.path("flaky-dir");
        std::fs::create_dir(&dir).unwrap();
        let words = [&["--allow-flaky"], words].concat();
        let (said, report) = workspace.json(&words, &[("FLAKY_DIR", dir.as_str())]);
        assert_eq!(said.code, Some(0), "{words:?}: {}", said.stderr);
        assert_eq!(package(&report, "p")["flaky"], json!(["TestFlaky"]));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn a_renamed_test_is_forgotten_and_shards_find_times() {
    let test = "package p\n\nimport \"testing\"\n\nfunc TestOld(t *testing.T) { t.Error(1) }\n";
    let Some(workspace) = Workspace::with("a_renamed_test_is_forgotten", &[("p/a_test.go", test)])
    else {
        return;
    };
    assert_eq!(run(&mut workspace.command(&["./p"])).code, Some(1));
    let renamed = test.replace("TestOld", "TestNew").replace("t.Error(1)", "");
    std::fs::write(workspace.dir.join("p/a_test.go"), renamed).unwrap();
    let said = run(&mut workspace.command(&["--rerun-failed"]));
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("nothing failed"), "{}", said.stdout);

    let times = workspace.home.path("times.json");
    let words = [
        "test",
        "shards",
        "./p",
        "--n",
        "2",
        "--by-time",
        "--times",
        times.as_str(),
    ];
    let said = run(&mut workspace.xtask(&words));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let times = std::fs::read_to_string(times).unwrap();
    assert!(times.contains("github.com/siderolabs/talos/p"), "{times}");
}
