//! Steps as root through the real sudo, for a user who is in no file of this
//! host: /etc/passwd and the like are copies in a mount namespace of the test's.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start and signal their own processes"
)]

use std::process::Command;

use foundation::plan::{Action, Plan, Step};
use rustix::process::Signal;

use crate::common::user::{MAKE_USER, MAY};
use crate::common::{Home, is_alive, is_root, skip, within};
use crate::harness::{Harness, SOON, bash, ends, pid_in, plan};

const UID: u32 = 64123;

/// Arguments: our binary. The rest comes by the environment.
const BEFORE: &str = r"
set -e
mount -t tmpfs -o mode=0755 tmpfs /run
etc=$HOME/etc home=$HOME
";
/// Ends by becoming the user, with the same pid.
const BECOME: &str = r#"
cd "$HOME"
touch xtask
mount --bind "$0" xtask
chown 64123:64123 "$HOME"
exec setpriv --reuid 64123 --regid 64123 --clear-groups \
  env -i HOME="$HOME" PATH=/usr/bin:/bin SECRET=1 "$HOME/xtask" internal run-plan
"#;

/// A run by the user, with the sudo rules `sudoers`. None where this
/// cannot be tried.
fn as_user(test: &str, home: &Home, sudoers: &str, plan: &Plan) -> Option<Harness> {
    let missing = ["sudo", "setpriv", "unshare"]
        .into_iter()
        .find(|name| foundation::ctx::host::Host::which(name).is_none());
    let can_mount = || {
        Command::new("unshare")
            .args(["--mount", "true"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let reason = match missing {
        _ if !is_root() => Some("root is needed to make up a user".to_owned()),
        Some(name) => Some(format!("no `{name}`")),
        None if !can_mount() => Some("no mount namespace".to_owned()),
        None => None,
    };
    if let Some(reason) = reason {
        skip(test, &reason);
        return None;
    }
    std::fs::create_dir(home.path("etc")).unwrap();
    std::fs::set_permissions(
        &home.root,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg([BEFORE, MAKE_USER, BECOME].concat())
        .arg(env!("CARGO_BIN_EXE_xtask"))
        .env("HOME", &home.root)
        .env("SUDOERS", sudoers);
    Some(Harness::start(&mut command, plan))
}

/// With and without a pseudo-terminal, which newer sudos make by default.
fn each_sudo() -> [String; 2] {
    [MAY.to_owned(), format!("Defaults use_pty\n{MAY}")]
}

#[test]
fn a_step_as_root_has_the_listed_environment_and_nothing_else() {
    let step = Step::run("a step", ["env"]).as_root().env("LISTED", "a b");
    for sudoers in each_sudo() {
        let home = Home::new();
        let steps = plan([step.clone(), bash("id -u").as_root(), bash("id -u")]);
        let Some(harness) = as_user(
            "a_step_as_root_has_the_listed_environment",
            &home,
            &sudoers,
            &steps,
        ) else {
            return;
        };
        let said = harness.end();
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let mut env: Vec<String> = log(&home, 1).lines().map(str::to_owned).collect();
        env.sort();
        let wanted = [
            format!("HOME={}", home.root),
            "LISTED=a b".to_owned(),
            "PATH=/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin".to_owned(),
        ];
        assert_eq!(env, wanted);
        assert_eq!(
            (log(&home, 2).trim(), log(&home, 3).trim()),
            ("0", UID.to_string().as_str())
        );
    }
}

/// Their exit code is their own, what they print is marked for the reader,
/// and at their deadline they print their goroutines: the helper's to see to.
#[test]
fn tests_as_root_end_as_they_do_for_a_user() {
    let tests = |script: &str| {
        let words = ["bash", "-c", script, "-test.v"];
        Step::run("tests", words).as_root().tests()
    };
    let hang = "trap 'echo goroutines >&2; exit 2' QUIT; echo waits; while :; do sleep 0.1; done";
    for (step, code, said) in [
        (tests("echo $0; exit 7"), 7, "-test.v=test2json\n"),
        (tests("exit 3"), 3, ""),
        (tests(hang).deadline(5), 124, "goroutines\n"),
    ] {
        let home = Home::new();
        let steps = plan([step]);
        let Some(harness) = as_user("tests_as_root_end_as_they_do", &home, MAY, &steps) else {
            return;
        };
        let end = harness.end();
        assert_eq!(end.code, Some(code), "{}", end.stderr);
        assert!(log(&home, 1).ends_with(said), "{}", log(&home, 1));
    }
}

fn log(home: &Home, step: usize) -> String {
    let runs = home.state().join("runs");
    let run = runs
        .read_dir_utf8()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .into_path();
    std::fs::read_to_string(run.join(format!("step-{step:02}.log"))).unwrap()
}

#[test]
fn what_root_makes_in_the_users_folder_is_the_users() {
    use std::os::unix::fs::MetadataExt;
    let home = Home::new();
    let write = Action::WriteFile {
        path: home.path("a/b/file"),
        contents: "x".into(),
        mode: 0o600,
    };
    let steps = [
        Step::new(
            "a folder",
            Action::CreateDir {
                path: home.path("c/d"),
            },
        )
        .as_root(),
        Step::new("a file", write).as_root(),
    ];
    let Some(harness) = as_user(
        "what_root_makes_in_the_users_folder",
        &home,
        MAY,
        &plan(steps),
    ) else {
        return;
    };
    let said = harness.end();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for path in ["a", "a/b", "a/b/file", "c", "c/d"] {
        let metadata = std::fs::metadata(home.path(path)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (UID, UID), "{path}");
    }
}

#[test]
fn a_failure_as_root_is_told_like_any_other() {
    let home = Home::new();
    let steps = plan([bash("echo it broke; exit 3").as_root()]);
    let Some(harness) = as_user("a_failure_as_root_is_told", &home, MAY, &steps) else {
        return;
    };
    let said = harness.end();
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let error = said.stderr.split("error: ").nth(1).unwrap();
    assert!(
        error.starts_with("step \"a step\" failed: `bash` ended with exit status: 3"),
        "{error}"
    );
    assert_eq!(
        said.stderr.matches("  | it broke").count(),
        1,
        "{}",
        said.stderr
    );
    assert!(error.contains("its whole output is in"), "{error}");

    let home = Home::new();
    let steps = plan([Step::run("a step", ["no-such-program"]).as_root()]);
    let said = as_user("a_failure_as_root_is_told", &home, MAY, &steps)
        .unwrap()
        .end();
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("cannot start `no-such-program`"),
        "{}",
        said.stderr
    );
    // As the user started it.
    let hint = format!("hint: {} doctor", home.path("xtask"));
    assert!(said.stderr.contains(&hint), "{}", said.stderr);
}

#[test]
fn a_deadline_ends_a_step_as_root() {
    let home = Home::new();
    let steps = plan([bash("echo $$ >~/pid; sleep 300").as_root().deadline(1)]);
    let Some(harness) = as_user("a_deadline_ends_a_step_as_root", &home, MAY, &steps) else {
        return;
    };
    let said = harness.end();
    assert_eq!(said.code, Some(124), "{}", said.stderr);
    assert!(ends(pid_in(&home, "pid")));
}

#[test]
fn ctrl_c_and_kill_9_reach_a_step_as_root() {
    for sudoers in each_sudo() {
        for signal in [Signal::INT, Signal::KILL] {
            let home = Home::new();
            let script = "sleep 300 & echo $! >~/grandchild; echo $$ >~/child; wait";
            let steps = plan([bash(script).as_root()]);
            let Some(harness) = as_user(
                "ctrl_c_and_kill_9_reach_a_step_as_root",
                &home,
                &sudoers,
                &steps,
            ) else {
                return;
            };
            let (child, grandchild) = (pid_in(&home, "child"), pid_in(&home, "grandchild"));
            harness.signal(signal);
            assert!(
                ends(child) && ends(grandchild),
                "{signal:?} under {sudoers}"
            );
            let said = harness.end();
            let code = (signal == Signal::INT).then_some(130);
            assert_eq!(said.code, code, "{}", said.stderr);
        }
    }
}

#[test]
fn a_second_ctrl_c_kills_a_step_as_root_at_once() {
    let home = Home::new();
    let script = "trap 'echo >~/asked' INT; trap 'echo >~/termed' TERM; echo $$ >~/child; \
        while :; do sleep 0.05; done";
    let test = "a_second_ctrl_c_kills_a_step_as_root";
    let Some(harness) = as_user(test, &home, MAY, &plan([bash(script).as_root()])) else {
        return;
    };
    let child = pid_in(&home, "child");
    harness.signal(Signal::INT);
    assert!(within(SOON, || home.path("asked").exists()));
    assert!(is_alive(child));
    harness.signal(Signal::INT);
    assert!(within(SOON, || !is_alive(child)));
    assert!(!home.path("termed").exists(), "its grace was waited for");
    assert_eq!(harness.end().code, Some(130));
}

#[test]
fn a_sudo_that_refuses_is_exit_3_before_anything_is_done() {
    for sudoers in ["", "xtasktest ALL=(ALL:ALL) ALL"] {
        let home = Home::new();
        let steps = plan([bash("touch ~/mark"), bash("id -u").as_root()]);
        let Some(harness) = as_user("a_sudo_that_refuses_is_exit_3", &home, sudoers, &steps) else {
            return;
        };
        let said = harness.end();
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(
            said.stderr.contains("hint: ") && said.stderr.contains("sudo"),
            "{}",
            said.stderr
        );
        assert!(!home.path("mark").exists());
    }
}

#[test]
fn a_sudo_that_grants_only_other_commands_is_exit_3_too() {
    let home = Home::new();
    // `sudo -n true` works, what the step needs does not.
    let sudoers = "xtasktest ALL=(ALL:ALL) NOPASSWD: /usr/bin/true";
    let steps = plan([bash("touch ~/mark"), bash("id -u").as_root()]);
    let Some(harness) = as_user(
        "a_sudo_that_grants_only_other_commands",
        &home,
        sudoers,
        &steps,
    ) else {
        return;
    };
    let said = harness.end();
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("steps need root, and `sudo` does not allow it without a password"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("sudo: a password is required"));
    assert!(!home.path("mark").exists());
}

#[test]
fn a_rule_for_the_helper_alone_is_enough() {
    let home = Home::new();
    let sudoers = format!(
        "xtasktest ALL=(root) NOPASSWD: {} internal root-step",
        home.path("xtask")
    );
    let steps = plan([bash("id -u").as_root()]);
    let Some(harness) = as_user("a_rule_for_the_helper_alone", &home, &sudoers, &steps) else {
        return;
    };
    let said = harness.end();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(log(&home, 1).trim(), "0");
}
