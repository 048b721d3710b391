//! Tests that need root, where root cannot be had or is less than it seems.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use super::common::go::Workspace;
use super::common::{is_root, run, skip};
use super::{Unit, package, state};

const TEST: &str = r#"package p

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestPlain(t *testing.T) {}

func TestRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func TestMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if err := syscall.Mount("tmpfs", t.TempDir(), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
}

func TestToken(t *testing.T) {
	if os.Geteuid() != 0 || os.Getenv("T19_TOKEN") == "" {
		t.Skip("needs root and T19_TOKEN")
	}
}

func TestTool(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := exec.LookPath("t19tool"); err != nil {
		t.Skip("t19tool is missing")
	}
}
"#;

fn workspace(test: &str) -> Option<Workspace> {
    Workspace::with(test, &[("p/a_test.go", TEST)])
}

/// The same command with other words in front.
fn behind(words: &[&str], command: &Command) -> Command {
    let mut behind = Command::new(words[0]);
    behind.args(&words[1..]).arg(command.get_program());
    behind.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => behind.env(name, value),
            None => behind.env_remove(name),
        };
    }
    behind.current_dir(command.get_current_dir().unwrap());
    behind
}

#[test]
fn root_without_namespaces_runs_what_needs_none() {
    let name = "root_without_namespaces";
    let Some(workspace) = workspace(name) else {
        return;
    };
    if !is_root() || foundation::ctx::host::Host::which("setpriv").is_none() {
        return skip(name, "only root can drop CAP_SYS_ADMIN, with `setpriv`");
    }
    // As in a container of docker without options.
    let less = [
        "setpriv",
        "--bounding-set=-sys_admin",
        "--inh-caps=-sys_admin",
    ];
    let said = run(&mut behind(&less, &workspace.command(&["--json", "./p"])));
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let p = package(&report, "p");
    for (test, wanted) in [
        ("TestPlain", "passed"),
        ("TestRoot", "passed"),
        ("TestMounts", "absent"),
    ] {
        assert_eq!(state(p, test), wanted, "{p:#}");
    }
    let reason = report["left_out"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("CAP_SYS_ADMIN"), "{reason}");
    let never = ["--json", "--sudo", "never", "./p"];
    let said = run(&mut behind(&less, &workspace.command(&never)));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        state(package(&report, "p"), "TestRoot"),
        "absent",
        "{report:#}"
    );
}

#[test]
fn variables_and_tools_are_those_of_root() {
    let name = "variables_and_tools_are_those_of_root";
    let Some(workspace) = workspace(name) else {
        return;
    };
    if !is_root() {
        return skip(name, "not root");
    }
    let tools = workspace.home.path("tools");
    std::fs::create_dir(&tools).unwrap();
    let tool = tools.join("t19tool");
    std::fs::write(&tool, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap());
    let env = [("T19_TOKEN", "1"), ("PATH", path.as_str())];
    let (said, report) = workspace.json(&["./p"], &env);
    if said.stderr.contains("cannot make a PID namespace") {
        return skip(name, "no namespaces");
    }
    let left_out = |test: &str| {
        let all = report["left_out"].as_array().unwrap().iter();
        let mut all = all.filter(|it| it["test"] == test);
        all.next()
            .map(|it| it["reason"].as_str().unwrap().to_owned())
    };
    assert!(
        left_out("TestToken").unwrap().contains("`--env T19_TOKEN`"),
        "{report:#}"
    );
    assert!(
        left_out("TestTool")
            .unwrap()
            .contains("PATH for tests as root"),
        "{report:#}"
    );
    let (said, report) = workspace.json(&["./p", "--env", "T19_TOKEN", "-run", "TestToken"], &env);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        state(package(&report, "p"), "TestToken"),
        "passed",
        "{report:#}"
    );
    assert_eq!(report["left_out"], json!([]));
}

#[test]
fn tests_for_root_are_left_out_where_sudo_asks_and_nobody_answers() {
    let name = "tests_for_root_are_left_out";
    let Some(workspace) = workspace(name) else {
        return;
    };
    if is_root() && foundation::ctx::host::Host::which("setpriv").is_none() {
        return skip(name, "no `setpriv`, which makes another user of root");
    }
    let tools = workspace.home.path("tools");
    std::fs::create_dir(&tools).unwrap();
    let sudo = tools.join("sudo");
    std::fs::write(
        &sudo,
        "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&sudo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap());
    let as_user = |words: &[&str]| {
        let mut command = workspace.command(words);
        command.env("PATH", &path);
        if is_root() {
            run(Command::new("chown").args(["-R", "65534:65534", workspace.home.root.as_str()]));
            command.env("GOCACHE", workspace.home.path("go-cache"));
            let other = [
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
            ];
            command = behind(&other, &command);
        }
        run(&mut command)
    };
    let said = as_user(&["./p"]);
    if said.stderr.contains("Permission denied") {
        return skip(name, "another user cannot start this program");
    }
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert!(
        said.stdout.contains("a password is required"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("1 passed, 0 failed"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("4 left out"), "{}", said.stdout);
    // A pattern that needs no root needs no sudo.
    let plain = as_user(&["./p", "-run", "TestPlain"]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    assert!(!plain.stdout.contains("left out"), "{}", plain.stdout);
    let none = as_user(&["./p", "-run", "TestRoot"]);
    assert_eq!(none.code, Some(3), "{}", none.stderr);
    assert!(
        none.stderr.contains("were left out on this host"),
        "{}",
        none.stderr
    );
    let strict = as_user(&["./p", "--strict"]);
    assert_eq!(strict.code, Some(1), "{}", strict.stderr);
}
