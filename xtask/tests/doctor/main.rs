//! `doctor` as a user meets it: the real binary on hosts of the tests' making.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make hosts and drive the real binary"
)]

#[path = "../common/mod.rs"]
mod common;
mod host;
mod leftovers;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{SOON, skip, within};
use host::{Host, find, is};
use serde_json::Value;

#[test]
fn firewalld_is_told_until_it_trusts_the_network() {
    let name = "firewalld_is_told_until_it_trusts_the_network";
    if !rustix::process::geteuid().is_root() {
        return skip(name, "a firewalld is root's");
    }
    let host = Host::ready();
    host.program("firewall-cmd", "echo 192.168.0.0/16");
    // By its path it is one; it waits for its standard input and does nothing.
    host.write("sbin/firewalld", "read line\n");
    let mut daemon = Command::new("sh")
        .arg(host.path("sbin/firewalld"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let (_, report) = host.json(|_| ());
    is(&report, "firewalld", "warn");
    host.program("firewall-cmd", "echo 192.168.0.0/16 10.213.0.0/16");
    let (_, report) = host.json(|_| ());
    assert!(find(&report, "firewalld").is_none());
    drop(daemon.stdin.take());
    daemon.wait().unwrap();
}

#[test]
fn a_host_that_has_everything_is_ready_and_one_file_less_is_not() {
    let host = Host::ready();
    let (code, report) = host.json(|_| ());
    assert_eq!(report["schema"], 1);
    assert_eq!(
        (code, &report["summary"]["missing"]),
        (Some(0), &Value::from(0)),
        "{report:#}"
    );
    for arch in ["amd64", "arm64"] {
        fs::remove_file(host.path(&format!("talos/_out/vmlinuz-{arch}"))).unwrap();
    }
    let (code, report) = host.json(|_| ());
    assert_eq!(
        (code, &report["summary"]["missing"]),
        (Some(3), &Value::from(1)),
        "{report:#}"
    );
    is(&report, "artifact-kernel", "missing");
    let fix = find(&report, "artifact-kernel").unwrap()["cure"]
        .as_str()
        .unwrap();
    assert!(fix.starts_with("cargo xtask build kernel -C /"), "{fix}");
}

#[test]
fn every_finding_has_the_documented_shape() {
    let (_, report) = Host::ready().json(|_| ());
    let findings = report["findings"].as_array().unwrap();
    for finding in findings {
        let id = finding["id"].as_str().unwrap();
        assert!(
            id.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{id}"
        );
        assert!(
            finding["what"].is_string() && finding["fixable"].is_boolean(),
            "{finding:#}"
        );
        for text in ["why", "cure"] {
            assert!(
                finding[text].is_string() || finding[text].is_null(),
                "{finding:#}"
            );
        }
    }
    for status in ["ok", "warn", "missing"] {
        let count = findings
            .iter()
            .filter(|finding| finding["status"] == status)
            .count();
        assert_eq!(report["summary"][status], count);
    }
}

/// By git's own check, which has a variable for its tests.
#[test]
fn a_checkout_of_another_owner_is_named_with_the_command() {
    let host = Host::ready();
    host.program("git", "PATH=/usr/local/bin:/usr/bin:/bin exec git \"$@\"");
    let checkout = host.path("talos");
    let made = Command::new("git")
        .args(["init", "--quiet"])
        .current_dir(&checkout)
        .status();
    assert!(made.unwrap().success());
    let (_, report) = host.json(|_| ());
    assert!(find(&report, "safe-directory").is_none(), "{report:#}");
    let (code, report) = host.json(|command| {
        command.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    });
    assert_eq!(code, Some(3));
    is(&report, "safe-directory", "missing");
    assert_eq!(
        find(&report, "safe-directory").unwrap()["cure"],
        format!(
            "git config --global --add safe.directory {}",
            checkout.display()
        )
    );
}

#[test]
fn without_a_checkout_the_rest_is_still_looked_at() {
    let host = Host::ready();
    fs::remove_dir_all(host.path("talos/pkg")).unwrap();
    fs::remove_file(host.path("talos/go.mod")).unwrap();
    fs::remove_file(host.path("path/qemu-system-x86_64")).unwrap();
    fs::remove_file(host.path("path/qemu-system-aarch64")).unwrap();
    let (code, report) = host.json(|_| ());
    assert_eq!(code, Some(3));
    is(&report, "checkout", "missing");
    is(&report, "talosctl", "ok");
    if !Path::new("/usr/libexec/qemu-kvm").exists() && !Path::new("/usr/sbin/qemu-kvm").exists() {
        is(&report, "qemu", "missing");
    }
    let refused = host.command(&["-C", "."]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let refused = host.command(&["--cidr", "10.0.0.1/24"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn no_client_no_engine_and_a_hanging_engine_are_three_things() {
    let host = Host::ready();
    let (_, report) = host.json(|command| {
        command.env("DOCKER_HOST", "unix:///nowhere");
    });
    is(&report, "docker-client", "ok");
    is(&report, "docker-engine", "warn");
    let engine = find(&report, "docker-engine").unwrap().to_string();
    assert!(engine.contains("DOCKER_HOST `unix:///nowhere`"), "{engine}");
    is(&report, "docker-buildx", "warn");

    let late = host.path("late");
    let hang = format!("/bin/sleep 60; echo >{}", late.display());
    host.program("docker", &hang);
    let (code, report) = host.json(|_| ());
    assert!(!late.exists(), "the engine was waited for");
    assert_eq!(code, Some(0), "builds are not clusters");
    let engine = find(&report, "docker-engine").unwrap().to_string();
    assert!(engine.contains("does not answer"), "{engine}");

    fs::remove_file(host.path("path/docker")).unwrap();
    let (_, report) = host.json(|_| ());
    is(&report, "docker-client", "warn");
    assert!(find(&report, "docker-engine").is_none());
}

#[test]
fn a_first_interrupt_ends_it() {
    let host = Host::ready();
    // Says that it was started, so that nothing has to be guessed.
    host.program(
        "docker",
        &format!(
            "cd {}; echo >started; /bin/sleep 60; echo >late",
            host.root().display()
        ),
    );
    let mut child = host.command(&[]).spawn().unwrap();
    assert!(within(SOON, || host.path("started").exists()));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!host.path("late").exists(), "docker was waited for");
}

#[test]
fn the_checkouts_own_make_variables_are_looked_for() {
    let host = Host::ready();
    let (_, report) = host.json(|_| ());
    is(&report, "make-variables", "ok");
    let (_, report) = host.json(|command| {
        command
            .env("USERNAME", "dev")
            .env("GREETING", "secret")
            .env("echo", "x")
            .env("TAG", "v9");
    });
    is(&report, "make-variables", "warn");
    let found = find(&report, "make-variables").unwrap();
    assert_eq!(found["cure"], "env -u USERNAME -u GREETING make …");
    assert!(!found.to_string().contains("secret"), "{found}");
}

#[test]
fn a_taken_network_comes_with_a_free_one() {
    let host = Host::ready();
    host.program(
        "ip",
        r#"echo '[{"ifname":"br-docker","addr_info":[{"local":"10.213.1.1","prefixlen":16}]}]'"#,
    );
    let (code, report) = host.json(|_| ());
    assert_eq!(code, Some(3));
    is(&report, "cidr", "missing");
    let found = find(&report, "cidr").unwrap();
    assert!(
        found["why"].as_str().unwrap().contains("br-docker"),
        "{found}"
    );
    assert!(
        found["cure"]
            .as_str()
            .unwrap()
            .contains("--cidr 172.20.0.0/24"),
        "{found}"
    );
}

#[test]
fn a_firewall_that_starves_nodes_is_told_with_the_rule() {
    let host = Host::ready();
    host.program("iptables", "echo '-P FORWARD DROP'");
    let (_, report) = host.json(|_| ());
    is(&report, "forward-policy", "warn");
    host.program(
        "iptables",
        "echo '-A FORWARD -j REJECT --reject-with icmp-port-unreachable'",
    );
    host.program("nft", r#"echo '{"nftables":[{"chain":{"family":"inet","table":"fw","name":"fwd","hook":"forward","policy":"drop"}}]}'"#);
    let (_, report) = host.json(|_| ());
    let found = find(&report, "forward-policy").unwrap();
    assert!(
        found["what"].as_str().unwrap().contains("-j REJECT"),
        "{found}"
    );
    let found = find(&report, "nftables-forward").unwrap();
    assert!(
        found["cure"]
            .as_str()
            .unwrap()
            .contains("inet fw fwd ip saddr 10.213.77.0/24"),
        "{found}"
    );
}

#[test]
fn a_taken_port_is_told_with_who_has_it() {
    let host = Host::ready();
    let socket = std::net::TcpListener::bind("127.0.0.1:8003");
    let (_, report) = host.json(|_| ());
    is(&report, "port-8003", "warn");
    // Another process may have it before this test does.
    if socket.is_ok() {
        let found = find(&report, "port-8003").unwrap()["what"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            found.contains(&format!("pid {}", std::process::id())),
            "{found}"
        );
    }
}

#[test]
fn people_get_a_verdict_and_the_next_thing_to_type() {
    let host = Host::ready();
    let arguments = host.arguments();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ready = host.command(&words).output().unwrap();
    let text = String::from_utf8(ready.stdout).unwrap();
    let last: Vec<&str> = text.lines().rev().take(2).collect();
    assert!(last[1].starts_with("ready for `cluster up`"), "{text}");
    assert_eq!(last[0], "  next: cargo xtask cluster");
    fs::remove_file(host.path("talos/_out/vmlinuz-amd64")).unwrap();
    fs::remove_file(host.path("talos/_out/vmlinuz-arm64")).unwrap();
    let lacking = host.command(&words).output().unwrap();
    let text = String::from_utf8(lacking.stdout).unwrap();
    let last: Vec<&str> = text.lines().rev().take(2).collect();
    assert!(
        last[1].starts_with("not ready for `cluster up`: 1 thing is missing"),
        "{text}"
    );
    assert!(
        last[0].starts_with("  next: cargo xtask build kernel -C /"),
        "{text}"
    );
}
