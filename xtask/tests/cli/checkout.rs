//! Which checkout: `-C` > `TALOS_DIR` > `.cargo/xtask.toml` > walking up > the
//! sibling `../talos`.
#![allow(
    clippy::disallowed_methods,
    reason = "tests make their own small worlds"
)]

use camino::Utf8Path;

use crate::common::{Home, run};

fn talos(home: &Home, dir: &str) {
    home.write(
        &format!("{dir}/go.mod"),
        "module github.com/siderolabs/talos\n",
    );
    home.write(&format!("{dir}/pkg/machinery/gendata/data/tag"), "v1.12.0");
}

/// The checkout that was found, from which a plan runs talosctl.
fn found(home: &Home, cwd: &str, env: Option<&str>, words: &[&str]) -> String {
    let up = [
        "cluster",
        "up",
        "--format",
        "json",
        "--cidr",
        "172.29.213.0/24",
    ];
    let mut command = home.xtask(&[words, &up].concat());
    if let Some(dir) = env {
        command.env("TALOS_DIR", dir);
    }
    let said = run(command.current_dir(home.path(cwd)));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let plan: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let dir = steps
        .iter()
        .find_map(|step| step["action"]["cwd"].as_str())
        .unwrap();
    Utf8Path::new(dir)
        .strip_prefix(&home.root)
        .unwrap()
        .to_string()
}

#[test]
fn each_way_goes_before_the_next() {
    let home = Home::new();
    for dir in [
        "by-flag",
        "by-env",
        "by-setting",
        "above",
        "talos",
        "above/inner/talos",
    ] {
        talos(&home, dir);
    }
    home.write(
        "above/inner/.cargo/xtask.toml",
        "talos-dir = \"../../by-setting\"\n",
    );
    home.write("above/inner/deep/x", "");
    let by_flag = home.path("by-flag").into_string();
    let by_env = home.path("by-env").into_string();
    let deep = "above/inner/deep";
    assert_eq!(
        found(&home, deep, Some(&by_env), &["-C", &by_flag]),
        "by-flag"
    );
    assert_eq!(
        found(&home, deep, Some(&by_env), &["-C", "../../../by-flag"]),
        "by-flag"
    );
    assert_eq!(found(&home, deep, Some(&by_env), &[]), "by-env");
    assert_eq!(found(&home, deep, Some("../../../by-env"), &[]), "by-env");
    assert_eq!(found(&home, deep, None, &[]), "by-setting");
    assert_eq!(
        found(&home, deep, Some(""), &[]),
        "by-setting",
        "empty is not set"
    );
    std::fs::remove_file(home.path("above/inner/.cargo/xtask.toml")).unwrap();
    assert_eq!(
        found(&home, deep, None, &[]),
        "above",
        "above goes before a sibling that is nearer"
    );
    std::fs::remove_file(home.path("above/go.mod")).unwrap();
    assert_eq!(found(&home, deep, None, &[]), "above/inner/talos");
    std::fs::remove_dir_all(home.path("above/inner/talos")).unwrap();
    assert_eq!(
        found(&home, deep, None, &[]),
        "talos",
        "a sibling of a folder above"
    );
}

#[test]
fn a_folder_that_is_not_talos_is_exit_2_and_says_who_named_it() {
    let home = Home::new();
    talos(&home, "talos");
    home.write(
        "other/go.mod",
        "module github.com/siderolabs/talos-vmtoolsd\n",
    );
    let up = ["cluster", "up", "--dry-run"];
    for dir in ["other", "nowhere", "."] {
        let said = run(&mut home.xtask(&[&["-C", dir][..], &up].concat()));
        assert_eq!(said.code, Some(2), "{dir}: {}", said.stderr);
        assert!(
            said.stderr.contains("is not a Talos checkout") && said.stderr.contains("named by -C"),
            "{}",
            said.stderr
        );
    }
    let said = run(home.xtask(&up).env("TALOS_DIR", "other"));
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(
        said.stderr.contains("named by TALOS_DIR"),
        "{}",
        said.stderr
    );
    home.write(".cargo/xtask.toml", "talos-dir = \"other\"\n");
    let said = run(&mut home.xtask(&up));
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(
        said.stderr.contains("named by .cargo/xtask.toml"),
        "{}",
        said.stderr
    );
}

#[test]
fn without_a_checkout_there_is_a_hint_and_what_needs_none_works() {
    let home = Home::new();
    let said = run(&mut home.xtask(&["cluster", "up", "--dry-run"]));
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("no Talos checkout found") && said.stderr.contains("hint: "),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("cargo xtask --lab cluster"),
        "{}",
        said.stderr
    );
    for words in [
        &["cluster", "status"][..],
        &["cluster", "list"],
        &["cluster", "destroy"],
        &["runs"],
    ] {
        // 1: no cluster runs.
        let code = i32::from(words == ["cluster", "status"]);
        assert_eq!(run(&mut home.xtask(words)).code, Some(code), "{words:?}");
    }
}

#[test]
fn a_checkout_that_does_not_say_its_version_is_exit_3() {
    let home = Home::new();
    home.write("talos/go.mod", "module github.com/siderolabs/talos\n");
    let mut command = home.xtask(&["-C", "talos", "cluster", "up", "--dry-run"]);
    let said = run(command.env("GIT_CEILING_DIRECTORIES", &home.root));
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("cannot determine the Talos version")
            && said.stderr.contains("git fetch --tags"),
        "{}",
        said.stderr
    );
}
