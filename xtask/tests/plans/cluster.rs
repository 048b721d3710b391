//! Plans of `cluster`, line by line of talosctl, as files that are read.
#![allow(
    clippy::disallowed_methods,
    reason = "tests make their own small worlds"
)]

use std::process::{Command, Stdio};

use crate::common::{Home, assert_golden, is_root, run, run_with, skip};
use crate::fake::{CIDR, UP, arch, checkout, cluster, cluster_as_user, half_made, stale};

/// What differs between machines and runs, by name.
fn with_placeholders(text: &str, home: &Home) -> String {
    let mut text = text
        .replace(home.root.as_str(), "HOME")
        .replace(&format!("-{}", arch()), "-ARCH");
    let user = if is_root() { (65534, 65534) } else { uid_gid() };
    text = text.replace(&format!("{}:{}", user.0, user.1), "UID:GID");
    // Whether registries answer here is not the plan's doing.
    let is_local = |line: &&str| {
        line.contains("--registry-mirror=") || line.contains("no registry and no pull-through")
    };
    let lines: Vec<&str> = text.lines().filter(|line| !is_local(line)).collect();
    lines.join("\n") + "\n"
}

fn uid_gid() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

fn assert_snapshot(name: &str, text: &str) {
    let path = format!("{}/testdata/plans/{name}", env!("CARGO_MANIFEST_DIR"));
    assert_golden(&path, text);
}

#[test]
fn cluster_up_in_the_dialect_of_each_line() {
    for version in ["v1.11.5", "v1.12.1", "v1.13.0", "v1.14.0-alpha.1"] {
        let home = checkout(version);
        let line = &version[1..5];
        let said = run(&mut cluster_as_user(
            &home,
            &[&UP[..], &["--format", "json"]].concat(),
        ));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_snapshot(
            &format!("cluster-up-{line}.json"),
            &with_placeholders(&said.stdout, &home),
        );
    }
}

#[test]
fn cluster_up_with_an_air_gap() {
    for (version, mode) in [
        ("v1.11.5", "gap"),
        ("v1.12.1", "gap"),
        ("v1.13.0", "secure-proxy"),
        ("v1.14.0-alpha.1", "reverse-proxy"),
    ] {
        let home = checkout(version);
        let words = [&UP[..], &["--airgap", mode, "--dry-run"]].concat();
        let said = run(&mut cluster_as_user(&home, &words));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let (uid, gid) = if is_root() { (65534, 65534) } else { uid_gid() };
        let text = with_placeholders(&said.stdout, &home).replace(
            &format!("--reuid={uid} --regid={gid}"),
            "--reuid=UID --regid=GID",
        );
        // It names the folder.
        let (before, after) = text.split_once("airgap.json (").unwrap();
        let (_, after) = after.split_once(')').unwrap();
        let text = format!("{before}airgap.json{after}");
        let line = &version[1..5];
        assert_snapshot(&format!("cluster-up-airgap-{line}.txt"), &text);
    }
}

#[test]
fn cluster_up_with_every_flag() {
    let home = checkout("v1.12.1");
    home.write("patch.yaml", "machine: {}\n");
    let words = [
        "up",
        "--name",
        "two",
        "--cidr",
        CIDR,
        "--controlplanes",
        "3",
        "--workers",
        "0",
        "--memory",
        "4GiB",
        "--talos-version",
        "v1.11",
        "--config-patch",
        "@patch.yaml",
        "--config-patch",
        "it's: \"$HOME\"",
        "--with-bootloader",
        "--no-wait",
        "--format",
        "json",
        "--",
        "--with-uefi=false",
        "--use-vip",
    ];
    let said = run(&mut cluster_as_user(&home, &words));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot(
        "cluster-up-flags.json",
        &with_placeholders(&said.stdout, &home),
    );
}

/// The argv of the step that creates the cluster.
fn create_argv(home: &Home, words: &[&str]) -> Vec<String> {
    let words = [&UP[..], &["--format", "json"], words].concat();
    let said = run(&mut cluster_as_user(home, &words));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let plan: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let create = steps.iter().find(|step| step["makes"]["kind"] == "cluster");
    let argv = create.unwrap()["action"]["argv"].as_array().unwrap();
    let word = |word: &serde_json::Value| word.as_str().unwrap().to_owned();
    argv.iter().map(word).collect()
}

#[test]
fn kernel_arguments_for_selinux_are_all_or_none() {
    let home = checkout("v1.13.0");
    let args = |words: &[&str]| {
        let argv = create_argv(&home, words);
        let flag = argv
            .iter()
            .find_map(|word| word.strip_prefix("--extra-boot-kernel-args="));
        flag.map(str::to_owned)
    };
    assert_eq!(args(&[]), None);
    assert_eq!(args(&["--enforcing"]).unwrap(), "enforcing=1");
    let debug = "talos.auditd.disabled=1 audit=1 audit_backlog_limit=65535 debug=1 sysctl.kernel.printk_ratelimit=0 \
        sysctl.kernel.printk_delay=0 sysctl.kernel.printk_ratelimit_burst=10000";
    assert_eq!(args(&["--selinux-debug"]).unwrap(), debug);
    let words = [
        "--selinux-debug",
        "--enforcing",
        "--",
        "--extra-boot-kernel-args=console=ttyS0 audit=0",
    ];
    let all = format!("console=ttyS0 {debug} enforcing=1");
    assert_eq!(args(&words).unwrap(), all);

    let note = "with a bootloader the kernel arguments are lost once a node boots from disk";
    for (words, is_noted) in [
        (&["--enforcing"][..], false),
        (&["--enforcing", "--with-bootloader"], true),
        (&["--with-bootloader"], false),
    ] {
        let words = [&UP[..], &["--dry-run"], words].concat();
        let said = run(&mut cluster_as_user(&home, &words));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_eq!(said.stdout.contains(note), is_noted, "{}", said.stdout);
    }
}

#[test]
fn options_of_machines_need_no_dashes() {
    let home = checkout("v1.13.0");
    home.write("p.yaml", "machine: {}\n");
    let words = [
        "--config-patch-control-plane",
        "@p.yaml",
        "--config-patch-worker=a: b",
        "--memory=4GiB",
        "--memory-workers=2GiB",
        "--cpus=4",
        "--cpus-workers=1.5",
        "--disk=8GiB",
        "--extra-disks=2",
        "--extra-disks-size=1024",
        "--with-uefi=false",
        "--with-tpm2",
        "--ipv4",
        "--ipv6=true",
        "--custom-cni-url=https://x/y.yaml",
        "--debug-shell",
        "--arch=arm64",
        "--",
        "--cni-bundle-url=b.tgz",
    ];
    let argv = create_argv(&home, &words);
    for wanted in [
        &format!("--config-patch-control-plane=@{}", home.path("p.yaml")),
        "--config-patch-worker=a: b",
        "--memory=4096MiB",
        "--memory-workers=2048MiB",
        "--cpus=4",
        "--cpus-workers=1.5",
        "--disk=8192",
        "--extra-disks=2",
        "--extra-disks-size=1024",
        "--with-uefi=false",
        "--with-tpm2=true",
        "--ipv4=true",
        "--ipv6=true",
        "--custom-cni-url=https://x/y.yaml",
        "--with-debug-shell=true",
        "--arch=arm64",
        &format!("--vmlinuz-path={}", home.path("talos/_out/vmlinuz-arm64")),
        &format!("--cni-bundle-url={}", home.path("b.tgz")),
    ] {
        assert!(argv.iter().any(|arg| arg == wanted), "{wanted}: {argv:?}");
    }
    let argv = create_argv(&home, &["--", "--arch=arm64"]);
    let initramfs = home.path("talos/_out/initramfs-arm64.xz");
    assert!(
        argv.contains(&format!("--initrd-path={initramfs}")),
        "{argv:?}"
    );
    let argv = create_argv(&home, &["--secure-boot"]);
    let has = |end: &str| argv.iter().any(|arg| arg.ends_with(end));
    assert!(has("-secureboot.iso") && has("--with-tpm2=true") && has("--with-bootloader=true"));
    assert!(!has(".xz"), "{argv:?}");
}

#[test]
fn a_cluster_on_another_machine_is_refused() {
    let home = checkout("v1.13.0");
    let args = ["--", "--remote-endpoint=build-host:50100"];
    let said = run(&mut cluster_as_user(&home, &[&UP[..], &args].concat()));
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    let hint = "ssh -t build-host cargo xtask cluster";
    assert!(said.stderr.contains(hint), "{}", said.stderr);
}

#[test]
fn settings_are_as_options_and_relative_to_their_folder() {
    let home = checkout("v1.12.1");
    home.write("patches/p.yaml", "machine: {}\n");
    home.write("patches/sub/other", "");
    home.write(
        "patches/.cargo/xtask.toml",
        "[cluster]\nconfig-patches = [\"@p.yaml\"]\nconfig-patches-worker = [\"@p.yaml\"]\n\
         extra-disks = 1\nwith-uefi = false\nipv6 = true\narch = \"amd64\"\n\
         talosctl-args = [\"--cni-conf-dir\", \"conf\", \"--extra-boot-kernel-args=lsm=yama pti=off\"]\n",
    );
    let own = ["--", "--extra-boot-kernel-args", "pti=on quiet"];
    let words = [&UP[..], &["--format", "json", "--with-uefi"], &own].concat();
    let mut command = cluster_as_user(&home, &words);
    let said = run(command.current_dir(home.path("patches/sub")));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let patch = home.path("patches/p.yaml");
    for wanted in [
        format!("--config-patch=@{patch}"),
        format!("--config-patch-worker=@{patch}"),
        "--extra-disks=1".to_owned(),
        "--with-uefi=true".to_owned(),
        "--ipv6=true".to_owned(),
        home.path("patches/conf").to_string(),
        "--extra-boot-kernel-args=lsm=yama pti=on quiet".to_owned(),
    ] {
        assert!(
            said.stdout.contains(&format!("\"{wanted}\"")),
            "{wanted}: {}",
            said.stdout
        );
    }
}

#[test]
fn extra_disks_without_workers() {
    let words = [
        "--workers=0",
        "--extra-disks=1",
        "--cidr",
        CIDR,
        "--controlplanes=1",
    ];
    let plan = |version: &str| {
        let home = checkout(version);
        run(&mut cluster_as_user(
            &home,
            &[&["up", "--dry-run"], &words[..]].concat(),
        ))
        .stdout
    };
    assert!(plan("v1.13.0").contains("note: no node gets an extra disk"));
    let newer = plan("v1.14.0");
    assert!(newer.contains("--extra-disks-on-controlplanes"), "{newer}");
}

#[test]
fn merge_adds_contexts_as_the_user() {
    let home = checkout("v1.12.1");
    let words = [&UP[..], &["--merge", "--format", "json"]].concat();
    let said = run(&mut cluster_as_user(&home, &words));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let plan: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let merging = steps
        .iter()
        .filter(|step| step["why"].as_str().unwrap().contains("add the context"));
    let users: Vec<_> = merging
        .map(|step| step["privilege"].as_str().unwrap())
        .collect();
    assert_eq!(users, ["user", "user"]);
    assert!(said.stdout.contains("\"merge\"") && said.stdout.contains("/.kube/config"));
}

#[test]
fn talosctl_gets_the_clusters_configuration() {
    let home = checkout("v1.12.1");
    let own = ".local/state/talos-xtask/clusters/talos-default";
    home.write(&format!("{own}/talosconfig"), "context: talos-default\n");
    let talos = home.path("talos");
    let xtask = |words: &[&str]| run(&mut home.xtask(&[&["-C", talos.as_str()], words].concat()));
    let said = xtask(&["talosctl", "--dry-run", "--", "-n", "1.2.3.4", "version"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let wanted = format!("TALOSCONFIG={}/talosconfig", home.path(own));
    assert!(said.stdout.contains(&wanted), "{}", said.stdout);
    assert!(
        said.stdout.contains(" -n 1.2.3.4 version\n"),
        "{}",
        said.stdout
    );
    // Its exit code and standard streams are the program's.
    home.program(
        "bin/kubectl",
        b"#!/bin/sh\ncat; echo \"$KUBECONFIG $*\" >&2; exit 42\n",
    );
    let path = format!("{}:/usr/bin:/bin", home.path("bin"));
    let mut command = home.xtask(&["kubectl", "get", "--all", "-n", "x"]);
    let said = run_with(command.env("PATH", path), b"input");
    assert_eq!(said.code, Some(42), "{}", said.stderr);
    assert_eq!(said.stdout, "input");
    let wanted = format!("{}/kubeconfig get --all -n x\n", home.path(own));
    assert!(said.stderr.ends_with(&wanted), "{}", said.stderr);
    // `-n` is talosctl's here, with and without `--`.
    assert_eq!(
        xtask(&["talosctl", "-n", "1.2.3.4", "version"]).code,
        Some(0)
    );
    let calls = std::fs::read_to_string(home.path("calls")).unwrap();
    assert!(calls.ends_with("\n-n\n1.2.3.4\nversion\n"), "{calls}");
    let said = xtask(&["talosctl", "--name", "other", "--", "version"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.stderr.contains("there is no cluster `other`"),
        "{}",
        said.stderr
    );
}

#[test]
fn cluster_up_as_a_reader_and_a_shell_see_it() {
    let home = checkout("v1.12.1");
    for (format, name) in [("human", "cluster-up.txt"), ("sh", "cluster-up.sh")] {
        let said = run(&mut cluster_as_user(
            &home,
            &[&UP[..], &["--format", format]].concat(),
        ));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_snapshot(name, &with_placeholders(&said.stdout, &home));
        if format == "sh" {
            let checked = run_with(Command::new("sh").arg("-n"), said.stdout.as_bytes());
            assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        }
    }
}

#[test]
fn a_half_made_cluster_is_destroyed_by_a_plan_without_talosctl() {
    let home = half_made();
    if is_root() {
        // The user's own, as talosctl under sudo leaves it.
        let nobody = Some(65534);
        std::os::unix::fs::chown(home.path(".talos"), nobody, nobody).unwrap();
    }
    let said = run(&mut cluster_as_user(
        &home,
        &["destroy", "--format", "json"],
    ));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let mut plan: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    // Only some users may look at the packet filter.
    let notes = plan["notes"].as_array_mut().unwrap();
    notes.retain(|note| {
        !note
            .as_str()
            .unwrap()
            .starts_with("not looked at: only root")
    });
    assert_snapshot(
        "cluster-destroy-half-made.json",
        &with_placeholders(&format!("{plan:#}"), &home),
    );
}

#[test]
fn a_dry_run_changes_nothing_whatever_its_format() {
    let home = checkout("v1.12.1");
    let before = home.tree();
    for how in [
        &["--dry-run"][..],
        &["-n", "--format", "sh"],
        &["--format", "json"],
        &["--format", "human"],
    ] {
        for words in [&UP[..], &["destroy"]] {
            let said = run(&mut cluster(&home, &[words, how].concat()));
            assert_eq!(said.code, Some(0), "{words:?} {how:?}: {}", said.stderr);
            assert_eq!(home.tree(), before, "{words:?} {how:?}");
        }
    }
}

#[test]
fn the_script_calls_talosctl_as_the_run_does() {
    if !is_root() {
        return skip(
            "the_script_calls_talosctl_as_the_run_does",
            "its step as root needs root",
        );
    }
    let calls = |home: &Home| {
        std::mem::take(&mut std::fs::read_to_string(home.path("calls")).unwrap_or_default())
    };
    let home = checkout("v1.12.1");
    let words = [
        &UP[..],
        &[
            "--config-patch",
            "it's: \"$HOME\" `id`\nsecond: line",
            "--",
            "--x= y",
        ],
    ]
    .concat();
    let said = run(&mut cluster(&home, &words));
    // 1: this talosctl makes no cluster, and none runs.
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let by_run = calls(&home);
    assert!(
        by_run.contains("--cidr=172.29.213.0/24\n") && by_run.contains("--x= y\n"),
        "{by_run}"
    );
    std::fs::remove_file(home.path("calls")).unwrap();

    let dry = [
        &UP[..],
        &[
            "--config-patch",
            "it's: \"$HOME\" `id`\nsecond: line",
            "--format",
            "sh",
            "--",
            "--x= y",
        ],
    ]
    .concat();
    let script = run(&mut cluster(&home, &dry)).stdout;
    let said = run_with(
        Command::new("sh")
            .env("HOME", &home.root)
            .current_dir(&home.root)
            .stdout(Stdio::null()),
        script.as_bytes(),
    );
    assert_eq!(said.code, Some(0), "{}\n{script}", said.stderr);
    assert_eq!(calls(&home), by_run);
}

/// Plans of root have no `sudo`, and only root can look at the packet filter: as
/// another user the plan has notes.
fn of_any_user(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    let text: String = lines
        .filter(|line| !line.contains("note: not looked at"))
        .collect();
    text.replace(
        concat!(
            r#"sudo env -i HOME="$HOME" PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin""#,
            " "
        ),
        "",
    )
}

#[test]
fn cluster_start_after_the_host_restarted() {
    let home = stale();
    for (file, flag) in [
        ("cluster-start.txt", "--dry-run"),
        ("cluster-start.sh", "--format=sh"),
    ] {
        let said = run(&mut cluster(&home, &["start", "--name=lab", flag]));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let text = of_any_user(&with_placeholders(&said.stdout, &home));
        assert_snapshot(file, &text);
    }
}

#[test]
fn what_a_start_needs_is_named_at_once() {
    let home = stale();
    let folder = home.path(".talos/clusters/lab");
    std::fs::remove_file(folder.join("lab-worker-1.config")).unwrap();
    std::fs::remove_file(folder.join("lab-controlplane-1-0.disk")).unwrap();
    home.write(".talos/clusters/lab/kms.pid", "4194304");
    let said = run(&mut cluster(&home, &["start", "--name=lab"]));
    assert_eq!(said.code, Some(3), "{}", said.stdout);
    for words in [
        "lab-worker-1.config` is missing",
        "lab-controlplane-1-0.disk` is missing",
        "kms cannot be started again: its random key",
        "cluster destroy --name lab",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
}

#[test]
fn cluster_clean_is_one_plan_for_all_that_is_dead() {
    let home = stale();
    let worker = ".talos/clusters/talos-default/talos-default-worker-1";
    home.write(&format!("{worker}.pid"), "4194304");
    home.write(
        ".local/state/talos-xtask/stopped/lab",
        home.path(".talos/clusters/lab").as_str(),
    );
    let plan = |flags: &[&str]| {
        let words = [&["clean", "--dry-run"], flags].concat();
        let said = run(&mut cluster(&home, &words));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        of_any_user(&with_placeholders(&said.stdout, &home))
    };
    assert_snapshot("cluster-clean.txt", &plan(&["--stopped"]));
    let spared = plan(&[]);
    assert!(!spared.contains("clusters/lab"), "{spared}");
    assert!(spared.contains("clusters/talos-default"), "{spared}");
}
