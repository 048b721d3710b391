//! Usage errors end with exit code 2 and the likeliest correction.
#![allow(
    clippy::disallowed_methods,
    reason = "tests make their own small worlds"
)]

use std::process::Command;

use crate::common::{Home, is_root, run, skip, xtask};

#[test]
fn a_slip_of_the_finger_is_exit_2_with_a_suggestion() {
    for (words, suggestion) in [
        (&["clutser"][..], "'cluster'"),
        (&["cluster", "rebot"], "'reboot'"),
        (
            &["cluster", "up", "--controlplane", "3"],
            "'--controlplanes'",
        ),
        (&["cluster", "status", "--jsno"], "'--json'"),
        (&["cluster", "up", "--format", "shell"], "sh"),
        (&["--colour", "never", "doctor"], "'--color'"),
        (&["lab", "donw"], "'down'"),
    ] {
        let said = run(xtask().args(words));
        assert_eq!(said.code, Some(2), "{words:?}: {}", said.stderr);
        assert!(
            said.stderr.contains(suggestion),
            "{words:?}: {}",
            said.stderr
        );
        assert!(said.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn what_is_typed_from_habit_is_answered_with_the_command() {
    for (words, command) in [
        (&["reboot"][..], " cluster reboot --all`"),
        (&["destroy"], " cluster destroy`"),
        (&["logs", "-f"], " cluster logs`"),
        (&["up"], " cluster up`"),
        (&["initramfs", "PUSH=true"], " build initramfs PUSH=true`"),
        (&["initrd"], " build initramfs`"),
        (&["V=1", "initramfs"], " build V=1 initramfs`"),
        (&["test", "./pkg/xfs"], " test unit ./pkg/xfs`"),
        (&["test", "TestFoo"], " test unit --run TestFoo`"),
        (&["cluster", "delete"], " cluster destroy`"),
        (&["cluster", "ls"], " cluster list`"),
        (&["cluster", "reboot"], "`--all`"),
        (&["registry", "start"], " registry up`"),
        (&["lab", "stop"], " lab down`"),
        (&["builder", "up"], " builder create`"),
        (&["nodes"], " cluster status`"),
        (&["list"], " cluster list`"),
        (&["install"], " setup`"),
    ] {
        let said = run(xtask().args(words));
        assert_eq!(said.code, Some(2), "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(command), "{words:?}: {}", said.stderr);
        assert!(
            !said.stderr.contains("similar"),
            "{words:?}: {}",
            said.stderr
        );
    }
    // What only other commands start is never proposed.
    for word in ["interal", "exec-rot", "intern"] {
        let said = run(xtask().arg(word));
        assert_eq!(said.code, Some(2), "{word}: {}", said.stderr);
        for hidden in ["'internal'", "'exec-root'"] {
            assert!(!said.stderr.contains(hidden), "{word}: {}", said.stderr);
        }
    }
}

#[test]
fn too_little_and_too_much_are_exit_2() {
    for words in [
        &["lab"][..],
        &["cluster", "reboot"],
        &["cluster", "reboot", "--all", "worker-1"],
        &["cluster", "up", "extra"],
        &["cluster", "up", "--workers", "-1"],
        &["cluster", "up", "--workers", "many"],
        &["cluster", "up", "--controlplanes", "99999999999"],
        &["embed"],
        &["completions", "tcsh"],
        &["--talos-dir"],
    ] {
        let said = run(xtask().args(words));
        assert_eq!(said.code, Some(2), "{words:?}: {}", said.stderr);
        assert!(
            said.stderr.contains("Usage: ") || said.stderr.contains("For more information"),
            "{words:?}: {}",
            said.stderr
        );
    }
}

#[test]
fn an_unknown_setting_is_an_error_that_names_it() {
    for (text, named) in [
        ("talos_dir = \"x\"\n", "talos_dir"),
        ("[cluster]\nworker = 1\n", "worker"),
        ("[clusters]\nworkers = 1\n", "clusters"),
        ("[cluster]\nworkers = \"two\"\n", "workers = \"two\""),
        ("[cluster\n", "[cluster"),
    ] {
        let home = Home::new();
        let file = home.write(".cargo/xtask.toml", text);
        let before = home.tree();
        let said = run(&mut home.xtask(&["cluster", "status"]));
        assert_eq!(said.code, Some(2), "{text}: {}", said.stderr);
        assert!(
            said.stderr.contains(named) && said.stderr.contains(file.as_str()),
            "{text}: {}",
            said.stderr
        );
        assert!(said.stderr.contains("hint: "), "{text}: {}", said.stderr);
        assert_eq!(home.tree(), before);
        // What needs no settings does not read them.
        assert_eq!(run(&mut home.xtask(&["--version"])).code, Some(0));
        assert_eq!(run(&mut home.xtask(&["completions", "bash"])).code, Some(0));
    }
}

#[test]
fn settings_are_found_upwards_and_arguments_go_before_them() {
    let home = Home::new();
    home.write(".cargo/xtask.toml", "[cluster]\nname = \"set\"\n");
    home.write("deep/er/file", "");
    let name = |words: &[&str]| {
        let mut command = home.xtask(words);
        let said = run(command.current_dir(home.path("deep/er")));
        assert_eq!(said.code, Some(1), "no cluster runs: {}", said.stderr);
        let status: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        status["cluster"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name(&["cluster", "status", "--json"]), "set");
    assert_eq!(
        name(&["cluster", "status", "--json", "--name", "asked"]),
        "asked"
    );
}

/// Without HOME, cargo takes the folder of the user's entry in passwd.
#[test]
fn without_a_home_the_users_own_is_taken() {
    let home = Home::new();
    let etc = home.path("etc");
    home.write(
        "etc/passwd",
        &format!("root:x:0:0::{}:/bin/sh\n", home.path("of-root")),
    );
    home.write("of-root/.talos/clusters/mine/state.yaml", "");
    let private = r#"mount --bind "$1" /etc/passwd && shift && exec env -u HOME "$@""#;
    let user: &[&str] = if is_root() { &[] } else { &["--map-root-user"] };
    let mut command = Command::new("unshare");
    command
        .args(user)
        .args(["--mount", "sh", "-c", private, "sh"])
        .arg(etc.join("passwd"))
        .arg(home.xtask(&[]).get_program())
        .args(["cluster", "list"])
        .env_remove("XDG_STATE_HOME")
        .current_dir(&home.root);
    let said = run(&mut command);
    if said.stderr.contains("unshare failed") {
        return skip("without_a_home", "no mount namespace");
    }
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.starts_with("mine "), "{}", said.stdout);
}

#[test]
fn a_home_that_is_not_absolute_is_an_error_with_a_hint() {
    let home = Home::new();
    let mut command = home.xtask(&["cluster", "status"]);
    let said = run(command.env("HOME", "relative"));
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("HOME") && said.stderr.contains("hint: "),
        "{}",
        said.stderr
    );
    // What needs no home does not look for it.
    let mut command = home.xtask(&["completions", "bash"]);
    assert_eq!(run(command.env("HOME", "relative")).code, Some(0));
}

#[test]
fn without_cargo_and_without_a_path_it_works() {
    let home = Home::new();
    for words in [
        &["--version"][..],
        &["cluster", "status"],
        &["cluster", "list", "--json"],
        &["cluster", "destroy", "--dry-run"],
        &["runs"],
        &["completions", "bash"],
    ] {
        let mut command = home.xtask(words);
        let said = run(command.env_clear().env("HOME", &home.root).env("PATH", ""));
        // 1: no cluster runs.
        let code = i32::from(words == ["cluster", "status"]);
        assert_eq!(said.code, Some(code), "{words:?}: {}", said.stderr);
    }
    assert_eq!(home.tree(), Vec::<String>::new(), "looking leaves no trace");
}

/// What is missing is named once, in a plan and by `doctor`.
#[test]
fn what_is_missing_is_said_once() {
    let home = Home::new();
    home.write("talos/go.mod", "module github.com/siderolabs/talos\n");
    home.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
    let told = |words: &[&str]| {
        let mut command = home.xtask(words);
        run(command.env("PATH", "").current_dir(home.path("talos")))
    };
    let plan = told(&["cluster", "up", "--dry-run", "--cidr", "172.29.213.0/24"]);
    assert_eq!(plan.code, Some(0), "{}", plan.stderr);
    let about = plan.stdout.lines().filter(|line| {
        line.trim_start().starts_with("note: ") && line.contains("talosctl-linux")
            || line.contains("talosctl not found")
    });
    assert_eq!(about.count(), 1, "{}", plan.stdout);
    let found = told(&["doctor"]).stdout;
    let missing = |line: &&str| line.trim_start().starts_with("missing ");
    assert!(
        found
            .lines()
            .any(|line| missing(&line) && line.contains("vmlinuz")),
        "{found}"
    );
    let twice = found
        .lines()
        .find(|line| missing(line) && line.contains("is missing"));
    assert_eq!(twice, None, "{found}");
}
