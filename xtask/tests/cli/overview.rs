//! `cargo xtask` without a command: what there is, and what to type next.

use crate::common::{Home, run};

fn shown(home: &Home, path: &str) -> String {
    let mut command = home.xtask(&[]);
    let said = run(command.env("PATH", path).current_dir(home.path("work")));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    said.stdout
}

/// The command to type, without the name of the tool.
fn next(home: &Home, path: &str) -> String {
    let shown = shown(home, path);
    let next = shown.lines().find_map(|line| line.strip_prefix("next: "));
    let next = next.unwrap_or_else(|| panic!("{shown}"));
    next.strip_prefix("cargo xtask ").unwrap().to_owned()
}

#[test]
fn each_step_leads_to_the_next() {
    let home = Home::new();
    home.write("work/file", "");
    let before = home.tree();
    assert_eq!(next(&home, ""), "--lab cluster");
    assert_eq!(home.tree(), before, "looking leaves no trace");

    home.write("talos/go.mod", "module github.com/siderolabs/talos\n");
    home.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
    assert_eq!(next(&home, ""), "doctor", "docker is missing");
    home.program("bin/docker", b"#!/bin/sh\n");
    let path = home.path("bin").to_string();
    assert_eq!(next(&home, &path), "setup", "a builder is missing");
    let instance = r#"{"Name":"local1","Driver":"docker-container","Nodes":[{"Endpoint":"unix:///var/run/docker.sock"}]}"#;
    home.write(".docker/buildx/instances/local1", instance);
    home.write(".docker/buildx/current", r#"{"Name":"local1"}"#);
    let build = next(&home, &path);
    assert!(
        build.starts_with("build kernel initramfs talosctl"),
        "{build}"
    );
    let arch = foundation::ctx::host::Host::probe().arch;
    for file in [format!("vmlinuz-{arch}"), format!("initramfs-{arch}.xz")] {
        home.write(&format!("talos/_out/{file}"), "");
    }
    let build = next(&home, &path);
    assert!(build.starts_with("build talosctl"), "{build}");
    home.program("bin/talosctl", b"#!/bin/sh\n");
    assert_eq!(next(&home, &path), "cluster");
    let text = shown(&home, &path);
    assert!(text.contains("Talos v1.12"), "{text}");

    home.write(".talos/clusters/mine/state.yaml", "");
    assert_eq!(next(&home, &path), "cluster destroy --name mine");
}

#[test]
fn a_lab_needs_a_command_and_a_named_folder_a_checkout() {
    let home = Home::new();
    let said = run(&mut home.xtask(&["--lab"]));
    assert_eq!(said.code, Some(2), "{}", said.stdout);
    assert!(said.stderr.contains("hint: "), "{}", said.stderr);
    let said = run(&mut home.xtask(&["-C", "nowhere"]));
    assert_eq!(said.code, Some(2), "{}", said.stdout);
}
