//! A state folder that cannot be written, and a disk that is full: nothing is
//! made that could not be written down first.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start and signal their own processes"
)]

use std::process::Command;

use foundation::plan::{Plan, Resource, Step};

use crate::common::{Home, Said, is_root, run_with, skip};
use crate::harness::{bash, json, plan};

/// A small file system for the state folder alone, in a mount namespace of its
/// own; what is left in it is copied to `left` in the end.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o size=256k tmpfs "$XDG_STATE_HOME" || exit 77
mkdir "$XDG_STATE_HOME/talos-xtask"
cp before.jsonl "$XDG_STATE_HOME/talos-xtask/ledger.jsonl"
eval "$PREPARE"
"$0" internal run-plan
code=$?
rm -f "$XDG_STATE_HOME/fill"
cp "$XDG_STATE_HOME/talos-xtask/ledger.jsonl" left.jsonl
exit $code
"#;

/// Takes every block that is free.
const FILL: &str = "dd if=/dev/zero of=\"$XDG_STATE_HOME/fill\" bs=1k 2>/dev/null; true";

/// None where this user can have no mount namespace.
fn on_a_small_disk(test: &str, home: &Home, prepare: &str, plan: &Plan) -> Option<Said> {
    std::fs::create_dir(home.path("state")).unwrap();
    home.write("before.jsonl", "{\"op\":\"torn\n");
    let user: &[&str] = if is_root() { &[] } else { &["--map-root-user"] };
    let mut command = Command::new("unshare");
    command
        .args(user)
        .args(["--mount", "sh", "-c", ON_A_SMALL_DISK])
        .arg(home.xtask(&[]).get_program())
        .env("HOME", &home.root)
        .env("XDG_STATE_HOME", home.path("state"))
        .env("PREPARE", prepare)
        .current_dir(&home.root);
    let said = run_with(&mut command, &json(plan));
    if said.code == Some(77) || said.stderr.contains("unshare failed") {
        skip(test, "no mount namespace");
        return None;
    }
    Some(said)
}

#[test]
fn on_a_full_disk_nothing_is_begun() {
    let home = Home::new();
    let Some(said) = on_a_small_disk(
        "on_a_full_disk_nothing_is_begun",
        &home,
        FILL,
        &plan([bash("touch ~/mark")]),
    ) else {
        return;
    };
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr.contains("cannot record the run"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("No space left"), "{}", said.stderr);
    assert!(!home.path("mark").exists());
}

#[test]
fn a_ledger_without_room_lets_nothing_be_made_and_is_not_torn() {
    let home = Home::new();
    let made = Resource::Cluster {
        name: "made".into(),
        state_dir: home.path("made"),
        // More than what is left of the ledger's last block.
        bridge: "x".repeat(5000),
        cidr: String::new(),
    };
    let steps = [bash(FILL), bash("touch ~/mark").makes(made)];
    let test = "a_ledger_without_room_lets_nothing_be_made";
    let Some(said) = on_a_small_disk(test, &home, "", &plan(steps)) else {
        return;
    };
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr.contains("cannot write the ledger"),
        "{}",
        said.stderr
    );
    assert!(!home.path("mark").exists());
    assert_eq!(
        home.read("left.jsonl"),
        "{\"op\":\"torn\n",
        "half an entry was left"
    );
}

#[test]
fn a_log_without_room_does_not_stop_the_work() {
    let home = Home::new();
    let steps = [
        bash("head -c 1000000 /dev/zero | tr '\\0' x"),
        bash("touch ~/mark"),
    ];
    let test = "a_log_without_room_does_not_stop_the_work";
    let Some(said) = on_a_small_disk(test, &home, "", &plan(steps)) else {
        return;
    };
    // The second step's own log cannot even be made without an inode.
    assert!(
        said.stderr.contains("the log of this step is not complete"),
        "{}",
        said.stderr
    );
    assert!(home.path("mark").exists(), "{}", said.stderr);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn a_state_folder_that_is_none_is_an_error_that_names_it() {
    let home = Home::new();
    home.write("file", "");
    let state = home.path("file/below");
    let mut command = home.xtask(&["internal", "run-plan"]);
    let said = run_with(
        command.env("XDG_STATE_HOME", &state),
        &json(&plan([bash("touch ~/mark")])),
    );
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr
            .contains(&format!("cannot record the run in `{state}")),
        "{}",
        said.stderr
    );
    assert!(!home.path("mark").exists());
}

#[test]
fn a_state_folder_of_somebody_else_is_an_error_too() {
    let home = Home::new();
    let steps = plan([Step::run("a step", ["touch", "/tmp/never"])]);
    let state = home.path(".local/state");
    std::fs::create_dir_all(&state).unwrap();
    let chmod = |mode| {
        std::fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap();
    };
    chmod(0o000);
    let said = if is_root() {
        // Permissions do not stop root: become user nobody.
        std::fs::set_permissions(
            &home.root,
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(home.binary());
        command
            .args(["internal", "run-plan"])
            .env("HOME", &home.root)
            .current_dir(&home.root);
        run_with(&mut command, &json(&steps))
    } else {
        run_with(&mut home.xtask(&["internal", "run-plan"]), &json(&steps))
    };
    chmod(0o700);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(said.stderr.contains("Permission denied"), "{}", said.stderr);
}
