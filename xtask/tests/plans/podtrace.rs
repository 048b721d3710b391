//! `podtrace image` and `deploy`: the plans, and what runs, with stand-ins for talosctl, kubectl, helm, make and docker.
#![allow(
    clippy::disallowed_methods,
    reason = "tests make their own small worlds"
)]

use crate::common::{Home, Said, assert_golden, run};

/// A node that is not one of a cluster on this host.
const NODE: &str = "192.0.2.10";
const TALOSCTL: &str = r#"#!/bin/sh
case "$*" in
*"read /sys/kernel/security/lockdown") exec cat "$HOME/lockdown" ;;
*"read /sys/kernel/tracing/kprobe_events") exit ;;
*" read "*) echo "no such file or directory" >&2; exit 1 ;;
esac
echo "talosctl $*" >>"$HOME/calls"
"#;
/// Has no resource of another program.
const KUBECTL: &str = r#"#!/bin/sh
case "$*" in *" get customresourcedefinition "*) [ -e "$HOME/certificates" ]; exit ;; esac
echo "kubectl $*" >>"$HOME/calls"
"#;

fn world() -> Home {
    let home = Home::new();
    for name in ["helm", "make", "docker"] {
        let script = format!("#!/bin/sh\necho \"{name} $*\" >>\"$HOME/calls\"\n");
        home.program(&format!("bin/{name}"), script.as_bytes());
    }
    home.program("bin/talosctl", TALOSCTL.as_bytes());
    home.program("bin/kubectl", KUBECTL.as_bytes());
    home.write("lockdown", "none [integrity] confidentiality\n");
    home.write("podtrace/Makefile", "docker-build:\n");
    home
}

fn podtrace(home: &Home, words: &[&str]) -> Said {
    let mut command = home.xtask(&[&["podtrace"], words].concat());
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", home.path("bin")));
    run(&mut command)
}

/// The plan as it is shown, then what ran.
fn both(home: &Home, words: &[&str]) -> String {
    let plan = podtrace(home, &[words, &["-n"]].concat());
    assert_eq!(plan.code, Some(0), "{}", plan.stderr);
    assert!(!home.path("calls").exists(), "a dry run runs nothing");
    let done = podtrace(home, words);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let calls = home.read("calls");
    let text = format!(
        "$ podtrace {}\n{}\n== runs\n{calls}\n== next\n{}",
        words.join(" "),
        plan.stdout,
        done.stdout
    );
    text.replace(home.root.as_str(), "HOME")
}

fn assert_snapshot(name: &str, text: &str) {
    let path = format!("{}/testdata/plans/{name}", env!("CARGO_MANIFEST_DIR"));
    assert_golden(&path, text);
}

#[test]
fn the_chart_is_installed_as_upstream_does() {
    let home = world();
    let text = both(&home, &["deploy", NODE, "--chart-version", "0.14.6"]);
    assert_snapshot("podtrace-deploy.txt", &text);
    let issuer = home.read(".local/state/talos-xtask/podtrace-issuer.yaml");
    assert!(issuer.contains("kind: Issuer"), "{issuer}");

    // What is there is not installed over.
    home.write("certificates", "");
    let plan = podtrace(&home, &["deploy", NODE, "-n"]);
    assert!(
        plan.stdout.contains("cert-manager is installed already"),
        "{}",
        plan.stdout
    );
    assert!(
        !plan.stdout.contains("charts.jetstack.io"),
        "{}",
        plan.stdout
    );
    let plan = podtrace(&home, &["deploy", NODE, "--without-webhook", "-n"]);
    assert!(!plan.stdout.contains("webhook.enabled"), "{}", plan.stdout);
}

#[test]
fn nothing_is_installed_where_the_kernel_lets_no_program_read() {
    let home = world();
    home.write("lockdown", "none integrity [confidentiality]\n");
    let said = podtrace(&home, &["deploy", NODE]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    for part in ["[confidentiality]", "lockdown=integrity", NODE] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    assert!(!home.path("calls").exists());
}

#[test]
fn an_image_is_pulled_or_built_first() {
    let home = world();
    let image = "ghcr.io/gma1k/podtrace:v0.14.6";
    let text = both(&home, &["image", NODE, "192.0.2.11", "--image", image]);
    let fresh = world();
    let own = "10.5.0.1:5000/podtrace:dev";
    let built = both(
        &fresh,
        &["image", NODE, "--source", "podtrace", "--image", own],
    );
    assert_snapshot("podtrace-image.txt", &format!("{text}\n{built}"));

    for (words, part) in [
        (&["--image", "ghcr.io/gma1k/podtrace"][..], "it has no tag"),
        (
            &["--image", own, "--source", "bin"],
            "is not a checkout of podtrace",
        ),
    ] {
        let said = podtrace(&home, &[&["image", NODE], words].concat());
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(said.stderr.contains(part), "{}", said.stderr);
    }
}
