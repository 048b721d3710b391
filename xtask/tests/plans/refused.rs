//! What bad input to `cluster` does: an error, with a hint and the documented
//! exit code, and nothing is changed.

use serde_json::Value;

use crate::common::{Home, run};
use crate::fake::{UP, checkout, cluster, half_made};

/// Exit code and words of a failure that changes nothing.
fn refused(home: &Home, words: &[&str], code: i32, said_words: &[&str]) {
    let before = home.tree();
    let said = run(&mut cluster(home, words));
    assert_eq!(
        said.code,
        Some(code),
        "{words:?}: {}{}",
        said.stdout,
        said.stderr
    );
    for word in said_words {
        assert!(
            said.stderr.contains(word),
            "{words:?} does not say `{word}`:\n{}",
            said.stderr
        );
    }
    assert!(
        said.stderr.contains("hint: "),
        "{words:?} has no hint:\n{}",
        said.stderr
    );
    assert_eq!(home.tree(), before, "{words:?} changed something");
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_hint() {
    let home = checkout("v1.12.1");
    refused(
        &home,
        &["up", "--controlplanes", "2"],
        2,
        &["2 control planes"],
    );
    refused(
        &home,
        &["up", "--controlplanes", "0"],
        2,
        &["control plane"],
    );
    refused(&home, &["up", "--name", "a/b"], 2, &["a/b"]);
    refused(&home, &["up", "--name", ".."], 2, &["`..`"]);
    refused(&home, &["up", "--name", ""], 2, &[]);
    refused(
        &home,
        &["up", "--cidr", "172.29.213.0/30"],
        2,
        &["172.29.213.0/30"],
    );
    refused(
        &home,
        &["up", "--cidr", "172.29.213.0"],
        2,
        &["172.29.213.0"],
    );
    refused(&home, &["up", "--cidr", "nonsense"], 2, &["nonsense"]);
    refused(
        &home,
        &["up", "--cidr", "172.29.213.0/29", "--workers", "9"],
        2,
        &["172.29.213.0/29"],
    );
    refused(&home, &["up", "--memory", "much"], 2, &["`much`"]);
    refused(&home, &["up", "--memory", "10"], 2, &["`10`"]);
    refused(&home, &["logs"], 2, &["talos-default"]);
    refused(&home, &["reboot", "--all"], 2, &["talos-default"]);
    refused(&home, &["destroy", "--name", "a/b"], 2, &["a/b"]);
    let said = run(&mut cluster(
        &home,
        &["up", "--config-patch", "@nowhere.yaml"],
    ));
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("nowhere.yaml"), "{}", said.stderr);
}

#[test]
fn what_would_fail_later_is_refused_at_once() {
    let home = checkout("v1.12.1");
    refused(&home, &["up", "--memory", "1GiB"], 2, &["1848 MiB"]);
    refused(&home, &["up", "--memory-workers", "512"], 2, &["1024 MiB"]);
    refused(&home, &["up", "--disk", "big"], 2, &["`big`"]);
    refused(&home, &["up", "--arch", "riscv64"], 2, &["`riscv64`"]);
    refused(&home, &["up", "--", "--arch=x86_64"], 2, &["--arch amd64"]);
    let help = include_str!("../../testdata/help/1.12.0/cluster-create-dev.txt");
    home.write("help", help);
    let words = [&UP[..], &["--", "--with-uefy=false"]].concat();
    refused(
        &home,
        &words,
        2,
        &["has no flag `--with-uefy`", "hint: --with-uefi\n"],
    );
    // Flags that the help does not show are known too.
    let words = [&UP[..], &["--dry-run", "--", "--with-debug-shell"]].concat();
    assert_eq!(run(&mut cluster(&home, &words)).code, Some(0));
    let newer = checkout("v1.14.0");
    let words = [&UP[..], &["--debug-shell"]].concat();
    refused(
        &newer,
        &words,
        2,
        &["no debug shell", "talosctl -C", "-- debug docker.io/"],
    );
}

#[test]
fn an_unknown_node_is_named_among_the_known_ones() {
    let home = half_made();
    for verb in ["logs", "reboot"] {
        refused(
            &home,
            &[verb, "worker-9"],
            2,
            &["`worker-9`", "talos-default-controlplane-1"],
        );
    }
}

#[test]
fn half_a_cluster_is_told_from_a_whole_one_and_from_none() {
    let home = half_made();
    refused(
        &home,
        &["up"],
        3,
        &["half made", "cluster destroy --name talos-default"],
    );
    let before = home.tree();
    let said = run(&mut cluster(&home, &["status", "--json"]));
    let status: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(status["cluster"]["state"], "half-made");
    assert_eq!(status["nodes"][0]["state"], "down");
    let said = run(&mut cluster(&home, &["list"]));
    assert!(said.stdout.contains("half-made"), "{}", said.stdout);
    // A half-written file is not a state either.
    let yaml = home.write(
        ".talos/clusters/talos-default/state.yaml",
        "provisionername: qemu\nbridgename: ta",
    );
    for text in [
        "provisionername: qemu\nbridgename: ta",
        "",
        "\u{0}\u{0}",
        "- {",
        "a: b",
    ] {
        std::fs::write(&yaml, text).unwrap();
        let said = run(&mut cluster(&home, &["status", "--json"]));
        let status: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(said.code, Some(1));
        assert_eq!(status["cluster"]["state"], "half-made", "{text:?}");
    }
    std::fs::remove_file(yaml).unwrap();
    assert_eq!(home.tree(), before);
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let home = checkout("v1.12.1");
    std::fs::remove_dir_all(home.path("talos/_out")).unwrap();
    let targets = [
        "build kernel",
        "build initramfs",
        "build kernel initramfs talosctl -C /",
    ];
    let mut command = cluster(&home, &UP);
    let said = run(command.env("PATH", "/nowhere"));
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        targets[..2]
            .iter()
            .all(|words| said.stderr.contains(&words.replace("make ", "`make "))),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains(targets[2]), "{}", said.stderr);
    // A plan that is only shown says so in notes.
    let said = run(cluster(&home, &[&UP[..], &["--dry-run"]].concat()).env("PATH", "/nowhere"));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stdout.contains("note: ") && said.stdout.contains("`cargo xtask build kernel -C /"),
        "{}",
        said.stdout
    );
}
