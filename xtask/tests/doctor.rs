//! `doctor` as a user meets it: the real binary, a HOME of the test's own, and
//! a PATH on which the test decides what there is.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests make hosts and drive the real binary"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// What KVM's probe wants to hear; see `ctx::kvm`.
const QEMU: &str = "case $1 in --version) echo 'QEMU emulator version 9.0.0';; \
    *) echo \"qemu: -device xtask-no-such-device: 'xtask-no-such-device' is not a valid device model name\" >&2; exit 1;; esac";
const TALOSCTL: &str = "echo 'Talos v1.12.0'";
const NO_ENGINE: &str = "echo '{\"Client\":{\"Version\":\"28.2.2\"},\"Server\":null}'; \
    echo 'Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?' >&2; exit 1";
/// Lets everybody become root, and is root for nobody.
const SUDO: &str = "exit 0";

/// A host that has all that a cluster needs, in the shape of small programs.
struct Host {
    dir: TempDir,
}

impl Host {
    fn ready() -> Self {
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for (name, script) in [
            ("qemu-system-x86_64", QEMU),
            ("qemu-system-aarch64", QEMU),
            ("talosctl", TALOSCTL),
            ("ip", "echo '[]'"),
            ("iptables", "echo '-P FORWARD ACCEPT'"),
            ("sudo", SUDO),
            ("make", ""),
            ("git", ""),
            ("crane", ""),
            ("docker", NO_ENGINE),
        ] {
            host.program(name, script);
        }
        host.write("talos/go.mod", "module github.com/siderolabs/talos\n");
        host.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
        host.write(
            "talos/Makefile",
            "USERNAME ?= siderolabs\nGREETING ?= hello\n\techo ?= no\n",
        );
        for arch in ["amd64", "arm64"] {
            host.write(&format!("talos/_out/vmlinuz-{arch}"), "");
            host.write(&format!("talos/_out/initramfs-{arch}.xz"), "");
        }
        for firmware in [
            "OVMF_CODE.fd",
            "OVMF_VARS.fd",
            "AAVMF_CODE.fd",
            "AAVMF_VARS.fd",
        ] {
            host.write(&format!("firmware/{firmware}"), "");
        }
        fs::create_dir(host.home()).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, name: &str, script: &str) {
        let name = format!("path/{name}");
        self.write(&name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.path(&name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .arg("doctor")
            .args(words)
            .current_dir(self.path("talos"))
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", self.path("path"));
        command
    }

    /// Small, on a network of nobody's, with the firmware found anywhere.
    fn arguments(&self) -> Vec<String> {
        let firmware = self.path("firmware");
        [
            "--cidr=10.213.77.0/24",
            "--controlplanes=1",
            "--workers=0",
            "--memory=256",
            "--",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([
            format!("--extra-uefi-search-paths={}", firmware.display()),
            "--disk=1".to_owned(),
            // Nobody's either, so that a host with Kubernetes passes.
            "--control-plane-port=1".to_owned(),
            "--nameservers=127.0.0.1".to_owned(),
        ])
        .collect()
    }

    fn json(&self, change: impl FnOnce(&mut Command)) -> (Option<i32>, Value) {
        let arguments = self.arguments();
        let words: Vec<&str> = ["--json"]
            .into_iter()
            .chain(arguments.iter().map(String::as_str))
            .collect();
        let mut command = self.command(&words);
        change(&mut command);
        let output = command.output().unwrap();
        (output.status.code(), parse(&output))
    }
}

fn parse(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn find<'a>(report: &'a Value, id: &str) -> Option<&'a Value> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["id"] == id)
}

/// The finding's status, with the finding where it is not the wanted one.
#[track_caller]
fn is(report: &Value, id: &str, status: &str) {
    let finding = find(report, id).unwrap_or_else(|| panic!("no `{id}` in {report:#}"));
    assert_eq!(finding["status"], status, "{finding:#}");
    // Whatever is wrong has a way out.
    assert!(status == "ok" || finding["cure"].is_string(), "{finding:#}");
}

fn skip(test: &str, reason: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{test} cannot run: {reason}"
    );
    eprintln!("SKIPPED: {test}: {reason}");
    if let Some(file) = std::env::var_os("XTASK_TEST_SKIPS") {
        use std::io::Write;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .unwrap();
        writeln!(file, "{test}\t{reason}").unwrap();
    }
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
    let cure = find(&report, "artifact-kernel").unwrap()["cure"]
        .as_str()
        .unwrap();
    assert!(
        cure.starts_with("make -C /") && cure.ends_with(" kernel"),
        "{cure}"
    );
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

    host.program("docker", "exec /bin/sleep 60");
    let began = Instant::now();
    let (code, report) = host.json(|_| ());
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
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
            "echo > {}/started; exec /bin/sleep 60",
            host.dir.path().display()
        ),
    );
    let mut child = host.command(&[]).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while !host.path("started").exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let began = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
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
    // Where somebody else had it before, this test has not.
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
fn half_made_and_stale_clusters_are_in_the_way() {
    let host = Host::ready();
    let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
    host.write(
        "home/.talos/clusters/other/other-worker-1.pid",
        &bystander.id().to_string(),
    );
    let (code, report) = host.json(|_| ());
    assert_eq!(code, Some(0), "one of another name is not in the way");
    is(&report, "half-made-cluster", "warn");

    let recorded = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../testdata/state/1.12.0/state.yaml"
    );
    let state = fs::read_to_string(recorded).unwrap();
    host.write("home/.talos/clusters/talos-default/state.yaml", &state);
    host.write(
        "home/.talos/clusters/talos-default/dhcpd.pid",
        &bystander.id().to_string(),
    );
    let (code, report) = host.json(|_| ());
    assert_eq!(code, Some(3));
    is(&report, "stale-cluster", "missing");
    let cure = find(&report, "stale-cluster").unwrap()["cure"]
        .as_str()
        .unwrap();
    assert_eq!(cure, "cargo xtask cluster destroy --name talos-default");
    assert!(
        bystander.try_wait().unwrap().is_none(),
        "it is not ours to signal"
    );
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn contexts_of_clusters_that_are_gone_are_named() {
    let host = Host::ready();
    let context = |name: &str| format!("  {name}:\n    endpoints: [10.5.0.2]\n");
    let contexts = ["talos-default", "talos-default-1", "prod-1"]
        .map(context)
        .concat();
    host.write(
        "home/.talos/config",
        &format!("context: prod-1\ncontexts:\n{contexts}"),
    );
    let (_, report) = host.json(|_| ());
    let cures: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["id"] == "talosconfig-context")
        .filter_map(|finding| finding["cure"].as_str())
        .collect();
    assert_eq!(
        cures,
        [
            "talosctl config remove talos-default",
            "talosctl config remove talos-default-1"
        ]
    );
}

#[test]
fn fix_forgets_what_is_gone_and_a_dry_run_does_not() {
    let host = Host::ready();
    host.program("test", "exec /usr/bin/test \"$@\"");
    let gone = host.path("no-such-lab");
    let ledger = "home/.local/state/talos-xtask/ledger.jsonl";
    let entry = format!(
        r#"{{"op":"intend","at":1,"boot_id":"b","run":"r","resource":{{"kind":"lab","dir":"{}"}}}}"#,
        gone.display()
    );
    host.write(ledger, &format!("{entry}\n"));
    let (_, report) = host.json(|_| ());
    is(&report, "ledger", "warn");
    assert_eq!(find(&report, "ledger").unwrap()["fixable"], true);

    let shown = host.command(&["--fix", "--dry-run"]).output().unwrap();
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(
        text.contains(&format!("test '!' -e {}", gone.display())),
        "{text}"
    );
    assert_eq!(
        fs::read_to_string(host.path(ledger)).unwrap(),
        format!("{entry}\n")
    );

    let arguments = host.arguments();
    let mut words = vec!["--fix", "--json"];
    words.extend(arguments.iter().map(String::as_str));
    let mended = host.command(&words).output().unwrap();
    assert_eq!(mended.status.code(), Some(0), "{mended:?}");
    is(&parse(&mended), "ledger", "ok");
    assert!(
        fs::read_to_string(host.path(ledger))
            .unwrap()
            .contains(r#""op":"gone""#)
    );
}

/// As a user without rights, on files that root really owns.
#[test]
fn files_left_to_root_are_given_back() {
    const NOBODY: u32 = 65534;
    let name = "files_left_to_root_are_given_back";
    if !rustix::process::geteuid().is_root() {
        return skip(name, "only root can leave files to root");
    }
    let host = Host::ready();
    host.program(
        "chown",
        "exec /usr/bin/env -i PATH=/usr/bin:/bin chown \"$@\"",
    );
    host.write("home/.talos/config", "contexts: {}\n");
    host.write("home/.talos/clusters/x/state.yaml", "");
    fs::set_permissions(host.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(host.home(), Some(NOBODY), Some(NOBODY)).unwrap();
    // The build's folder may be closed to others.
    let own = host.path("xtask");
    fs::copy(env!("CARGO_BIN_EXE_xtask"), &own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |words: &[&str]| {
        use std::os::unix::process::CommandExt;
        let given = host.command(words);
        let mut command = Command::new(&own);
        command
            .args(given.get_args())
            .current_dir(host.path("talos"))
            .env_clear();
        command
            .env("HOME", host.home())
            .env("PATH", host.path("path"));
        command.uid(NOBODY).gid(NOBODY).output().unwrap()
    };
    let report = parse(&as_nobody(&["--json"]));
    is(&report, "ownership", "warn");
    let found = find(&report, "ownership").unwrap();
    assert_eq!(found["fixable"], true);
    assert!(
        !found["what"].as_str().unwrap().contains("clusters/x"),
        "{found}"
    );

    let script = as_nobody(&["--fix", "--format", "sh"]);
    let script = String::from_utf8(script.stdout).unwrap();
    assert!(
        script.contains("chown --no-dereference --from=0:0 65534:65534 --"),
        "{script}"
    );
    let ran = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let owner = |name: &str| fs::symlink_metadata(host.home().join(name)).unwrap().uid();
    assert_eq!((owner(".talos"), owner(".talos/config")), (NOBODY, NOBODY));
    assert_eq!(owner(".talos/clusters/x"), 0, "not asked for");
    is(&parse(&as_nobody(&["--json"])), "ownership", "ok");
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
        last[0].starts_with("  next: make -C ") && last[0].ends_with(" kernel"),
        "{text}"
    );
}
