//! Registries on real parts: Docker, the registry itself, nodes that pull by
//! the relay. One lab serves many assertions.

use std::time::Duration;

use crate::in_lab::{Lab, TALOSCTL};
use serde_json::Value;

/// Makes an image of one layer of that many random kilobytes, and pushes it.
const PUSH: &str = r#"push() {
    rm -rf "$HOME/image" && mkdir "$HOME/image" && head -c "$2"000 /dev/urandom >"$HOME/image/file"
    tar -C "$HOME/image" -c . | docker import - "$1" >/dev/null && docker push -q "$1" >/dev/null
    crane digest --insecure "$1"
}
"#;

fn json(lab: &Lab, words: &[&str]) -> Value {
    serde_json::from_str(&lab.ok(&[words, &["--json"]].concat())).unwrap()
}

fn registry(lab: &Lab) -> Value {
    json(lab, &["registry", "status"])["registry"].clone()
}

fn sh(lab: &Lab, script: &str) -> String {
    lab.sh(&format!("set -e\n{PUSH}{script}")).trim().to_owned()
}

/// What setting up could change, for comparison.
fn containers(lab: &Lab) -> String {
    sh(
        lab,
        "docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Status}}' | sed 's/ Up .*//' | sort",
    )
}

#[test]
fn the_guides_registries() {
    let Some(lab) = Lab::own("the_guides_registries") else {
        return;
    };
    lab.ok(&["registry"]);
    strangers_are_left_alone(&lab);
    what_was_made_by_hand_is_adopted(&lab);
    what_is_pushed_is_listed_and_what_has_no_tag_is_freed(&lab);
    proxies_tell_what_a_node_would_meet(&lab);
    setting_up_twice_changes_nothing(&lab);
    let installer = what_is_built_has_one_digest_everywhere(&lab);
    nodes_pull_by_the_relay(&lab, &installer);
    lab.ok(&["registry", "down", "--purge"]);
    lab.ok(&["proxies", "down", "--purge"]);
    let left = sh(
        &lab,
        "docker ps -aq --filter label=talos-xtask; docker volume ls -q --filter name=talos-xtask-",
    );
    assert_eq!(left, "");
}

fn strangers_are_left_alone(lab: &Lab) {
    let before = containers(lab);
    assert!(
        lab.fails(3, &["registry", "ls"])
            .contains("cargo xtask --lab registry up")
    );
    let listen = "perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalAddr => \"127.0.0.1\", \
        LocalPort => 5005, Listen => 1) or die; sleep 600' & echo $!; \
        n=0; until grep -q ':138D 00000000:0000 0A' /proc/net/tcp; do n=$((n + 1)); [ $n -lt 100 ]; sleep 0.1; done";
    // With its output elsewhere, or the shell's caller would wait for it.
    let pid = sh(
        lab,
        &format!("{{ {listen}; }} 2>/dev/null >$HOME/pid; cat $HOME/pid"),
    );
    let said = lab.fails(3, &["registry", "up"]);
    assert!(
        said.contains("127.0.0.1:5005") && said.contains("perl") && said.contains(&pid),
        "{said}"
    );
    assert_eq!(containers(lab), before);
    sh(lab, &format!("kill {pid}"));
    sh(lab, "docker run -d --name local registry:2");
    let said = lab.fails(3, &["registry", "up"]);
    assert!(said.contains("docker rename local"), "{said}");
    sh(lab, "docker rm -f -v local");
    assert_eq!(containers(lab), before);
}

fn what_was_made_by_hand_is_adopted(lab: &Lab) {
    let id = sh(
        lab,
        "docker run -d -p 5005:5000 --restart always --name local registry:2",
    );
    lab.ok(&["registry", "up"]);
    let seen = registry(lab);
    assert_eq!(
        (seen["container"].as_str(), seen["ours"].as_bool()),
        (Some(id.as_str()), Some(false))
    );
    assert_eq!(seen["state"], "running");
    assert!(
        seen["remarks"].to_string().contains("every address"),
        "{seen}"
    );
    lab.ok(&["registry", "down"]);
    assert_eq!(registry(lab)["state"], "stopped");
    assert!(
        lab.fails(2, &["registry", "down", "--purge"])
            .contains("docker rm")
    );
    lab.ok(&["registry", "up"]);
    assert_eq!(registry(lab)["container"], id.as_str());
    sh(lab, "docker rm -f -v local");
}

fn what_is_pushed_is_listed_and_what_has_no_tag_is_freed(lab: &Lab) {
    lab.ok(&["registry", "up"]);
    let seen = registry(lab);
    assert_eq!(
        (seen["ours"].as_bool(), &seen["remarks"]),
        (Some(true), &Value::Array(Vec::new()))
    );
    let before = containers(lab);
    lab.ok(&["registry", "up"]);
    assert_eq!(containers(lab), before, "the second time changes nothing");
    // 138D is 5005; 0100007F is 127.0.0.1.
    let listening = sh(
        lab,
        "cat /proc/net/tcp /proc/net/tcp6 | grep ':138D .* 0A ' | cut -d: -f2",
    );
    assert_eq!(listening.trim(), "0100007F");

    let old = sh(lab, "push 127.0.0.1:5005/u/x:v1 3000");
    let listed = json(lab, &["registry", "ls"]);
    let image = &listed["images"][0];
    assert_eq!(
        (image["repository"].as_str(), image["tag"].as_str()),
        (Some("u/x"), Some("v1"))
    );
    assert_eq!(image["digest"], old.as_str());
    assert!(image["bytes"].as_u64().unwrap() > 2_900_000, "{image}");
    // The tag again with something else, and an image of two platforms, whose parts have no tags.
    let new = sh(lab, "push 127.0.0.1:5005/u/x:v1 10");
    let index = sh(
        lab,
        "a=$(push 127.0.0.1:5005/u/many:a 10); b=$(push 127.0.0.1:5005/u/many:b 10)
        crane index append --insecure -t 127.0.0.1:5005/u/many:v1 -m 127.0.0.1:5005/u/many@$a -m 127.0.0.1:5005/u/many@$b >/dev/null
        crane digest --insecure 127.0.0.1:5005/u/many:v1",
    );
    let size = |lab: &Lab| registry(lab)["bytes"].as_u64().unwrap();
    let full = size(lab);
    let said = lab.ok(&["registry", "prune", "--dry-run"]);
    assert!(said.contains(&old) && !said.contains(&new), "{said}");
    assert_eq!(size(lab), full, "a dry run changes nothing");
    let said = lab.ok(&["registry", "prune"]);
    assert!(said.starts_with("freed "), "{said}");
    assert!(
        size(lab) + 2_900_000 < full,
        "{full} bytes, and then {}",
        size(lab)
    );
    let digest = |name: &str| {
        sh(
            lab,
            &format!("crane digest --insecure 127.0.0.1:5005/{name}"),
        )
    };
    assert_eq!((digest("u/x:v1"), digest("u/many:v1")), (new, index));
    let gone = sh(
        lab,
        &format!("crane digest --insecure 127.0.0.1:5005/u/x@{old} 2>&1 || echo gone"),
    );
    assert!(gone.ends_with("gone"), "{gone}");
    // By name, and what only it used.
    lab.fails(2, &["registry", "prune", "u/none"]);
    lab.ok(&["registry", "prune", "many:v1", "many:a", "many:b"]);
    let listed = lab.ok(&["registry", "ls"]);
    assert!(
        listed.contains("u/x") && !listed.contains("u/many"),
        "{listed}"
    );
    sh(
        lab,
        "crane validate --insecure --remote 127.0.0.1:5005/u/x:v1",
    );
}

/// Verdicts by host.
fn verdict<'a>(checks: &'a Value, host: &str) -> &'a Value {
    let all = checks["checks"].as_array().unwrap();
    all.iter().find(|check| check["host"] == host).unwrap()
}

fn checks(lab: &Lab, code: i32, words: &[&str]) -> Value {
    let words = [&["--lab", "proxies", "check", "--json"], words].concat();
    let output = lab.xtask(&words);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn proxies_tell_what_a_node_would_meet(lab: &Lab) {
    lab.ok(&["proxies", "up"]);
    let before = containers(lab);
    lab.ok(&["proxies", "up"]);
    assert_eq!(containers(lab), before, "the second time changes nothing");
    let seen = json(lab, &["proxies"]);
    let ports: Vec<u64> = seen["proxies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|proxy| proxy["port"].as_u64().unwrap())
        .collect();
    assert_eq!(ports, [5000, 5001, 5002, 5003, 5004, 5006]);

    // The lab's stand-in for the internet is a second registry.
    sh(lab, "push 127.0.0.1:5010/u/probe:v1 500");
    let image = "docker.io/u/probe:v1";
    assert_eq!(
        verdict(&checks(lab, 0, &[image]), "docker.io")["verdict"],
        "fetched"
    );
    assert_eq!(
        verdict(&checks(lab, 0, &[image]), "docker.io")["verdict"],
        "hit"
    );
    assert_eq!(
        verdict(&checks(lab, 1, &["docker.io/u/none:v1"]), "docker.io")["verdict"],
        "miss"
    );
    // The registry writes it down every five seconds.
    let entries = || json(lab, &["proxies"])["proxies"][0]["cache"]["entries"].as_u64();
    assert!(crate::common::within(Duration::from_mins(1), || entries() > Some(0)));

    // The cache loses what it has, as after a week, and the upstream is away.
    sh(
        lab,
        "docker stop upstream
        data=$(docker volume inspect -f '{{.Mountpoint}}' talos-xtask-registry-docker.io)
        config=$(crane manifest --insecure 127.0.0.1:5000/u/probe:v1 | jq -r .config.digest)
        rm -r $data/docker/registry/v2/blobs/sha256/$(echo $config | cut -c8-9)/${config#sha256:}
        docker restart registry-gcr.io || true",
    );
    let seen = checks(lab, 1, &[image]);
    assert_eq!(verdict(&seen, "docker.io")["verdict"], "expired", "{seen}");
    // A registry that cannot reach its upstream does not even start.
    let seen = checks(lab, 1, &["gcr.io/u/probe:v1"]);
    assert_eq!(verdict(&seen, "gcr.io")["verdict"], "down", "{seen}");
    sh(lab, "docker start upstream");
    let reason = "n=0; until curl -fsS -o /dev/null http://127.0.0.1:5003/v2/; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.2; done";
    sh(lab, reason);
    // It goes on naming what it has lost, until it is started again.
    assert_eq!(
        verdict(&checks(lab, 1, &[image]), "docker.io")["verdict"],
        "expired"
    );
    lab.ok(&["proxies", "down"]);
    assert_eq!(
        verdict(&checks(lab, 1, &[image]), "docker.io")["verdict"],
        "down"
    );
    lab.ok(&["proxies", "up"]);
    assert_eq!(
        verdict(&checks(lab, 0, &[image]), "docker.io")["verdict"],
        "hit"
    );
}

fn setting_up_twice_changes_nothing(lab: &Lab) {
    let changed = |seen: &Value| -> Vec<bool> {
        let parts = seen["parts"].as_array().unwrap().iter();
        parts
            .map(|part| part["changed"].as_bool().unwrap())
            .collect()
    };
    let first = json(lab, &["setup"]);
    assert_eq!(
        changed(&first),
        [true, false, false, false],
        "only a builder is missing"
    );
    let there =
        |lab: &Lab| containers(lab) + &sh(lab, "docker buildx ls; docker volume ls -q | sort");
    let before = there(lab);
    assert!(lab.ok(&["setup", "--dry-run"]).contains("nothing to do"));
    let second = json(lab, &["setup"]);
    assert_eq!(changed(&second), [false; 4]);
    assert_eq!(there(lab), before);
    let said = lab.ok(&["setup"]);
    assert!(
        said.contains("next: cargo xtask --lab build initramfs kernel talosctl"),
        "{said}"
    );
}

/// The installer's image, with its digest.
fn what_is_built_has_one_digest_everywhere(lab: &Lab) -> String {
    lab.ok(&["build", "initramfs", "kernel"]);
    lab.ok(&["installer"]);
    let noted = json(lab, &["images"])["images"][0].clone();
    let reference = noted["reference"].as_str().unwrap();
    let listed = json(lab, &["registry", "ls", "siderolabs/installer"]);
    let images = listed["images"].as_array().unwrap();
    let image = images
        .iter()
        .find(|image| image["reference"] == reference)
        .unwrap();
    assert_eq!(
        (&image["digest"], &image["tree"]),
        (&noted["digest"], &noted["tree"])
    );
    let digest = sh(lab, &format!("crane digest --insecure {reference}"));
    assert_eq!(noted["digest"], digest.as_str());
    let pinned = format!("{reference}@{digest}");
    let plan = lab.ok(&["cluster", "up", "--dry-run", "--format", "json"]);
    assert!(
        plan.contains(&format!("--install-image={pinned}\"")),
        "{plan}"
    );
    pinned
}

fn nodes_pull_by_the_relay(lab: &Lab, installer: &str) {
    let up = ["cluster", "up", "--workers", "0", "--no-wait"];
    lab.ok(&up);
    // Its exit code is 1 unless the cluster runs.
    let status = || -> Value {
        let output = lab.xtask(&["--lab", "cluster", "status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let seen = status();
    assert_eq!(seen["relay"]["state"], "running");
    assert_eq!(seen["relay"]["address"], "172.20.0.1");
    assert_eq!(
        seen["relay"]["ports"],
        serde_json::json!([5000, 5001, 5002, 5003, 5004, 5005, 5006])
    );
    let pull = |image: &str| {
        let talosctl = format!("{TALOSCTL} -n 172.20.0.2 image pull");
        sh(
            lab,
            &format!("{talosctl} {image} >/dev/null 2>&1 && echo pulled || echo failed"),
        )
    };
    assert_eq!(pull("127.0.0.1:5005/u/x:v1"), "pulled");
    assert_eq!(pull("docker.io/u/probe:v1"), "pulled");
    assert_eq!(pull(installer), "pulled");
    let config = sh(
        lab,
        &format!("{TALOSCTL} -n 172.20.0.2 get machineconfig -o yaml"),
    );
    assert!(config.contains(installer), "{config}");
    assert_eq!(pull("127.0.0.1:5005/u/none:v1"), "failed");
    let asked = verdict(&checks(lab, 0, &["docker.io/u/probe:v1"]), "docker.io").clone();
    assert_eq!(asked["endpoint"], "http://172.20.0.1:5000");

    // Without the mirror both commands name it first.
    sh(lab, "docker kill registry-docker.io");
    for command in ["status", "explain"] {
        let output = lab.xtask(&["--lab", "cluster", command, "--json"]);
        let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
        let first = if command == "status" {
            &seen["faults"][0]
        } else {
            &seen["cause"]
        };
        assert_eq!(
            (output.status.code(), &first["id"]),
            (Some(1), &"mirror".into()),
            "{seen}"
        );
        assert!(
            first["what"].as_str().unwrap().contains("port 5000"),
            "{seen}"
        );
    }
    lab.ok(&["proxies", "up"]);
    let seen = status();
    assert_eq!(seen["cluster"]["state"], "running", "{seen}");

    // Without the relay nodes have no registry; `up` repairs it.
    let pid = seen["relay"]["pid"].as_u64().unwrap();
    sh(lab, &format!("kill -9 {pid}"));
    assert_eq!(status()["relay"]["state"], "down");
    let seen = lab.xtask(&["--lab", "cluster", "status"]);
    assert_eq!(seen.status.code(), Some(1));
    let said = String::from_utf8(seen.stdout).unwrap();
    assert!(
        said.contains("the relay at 172.20.0.1") && said.contains("cluster up"),
        "{said}"
    );
    assert_eq!(pull("127.0.0.1:5005/u/x:v1"), "failed");
    let seen = checks(lab, 1, &["docker.io/u/probe:v1"]);
    assert!(
        verdict(&seen, "docker.io")["why"]
            .as_str()
            .unwrap()
            .contains("relay"),
        "{seen}"
    );
    let said = lab.ok(&up);
    assert!(
        said.contains("registries for its nodes at 172.20.0.1"),
        "{said}"
    );
    assert_eq!(status()["relay"]["state"], "running");
    assert_eq!(pull("127.0.0.1:5005/u/x:v1"), "pulled");
    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(
        sh(lab, "pgrep -f '[i]nternal gateway' || echo none"),
        "none"
    );
    assert_eq!(status()["relay"], Value::Null);

    // A cluster that was taken down by other means takes its relay along.
    let folder = sh(lab, "mkdir $HOME/other && echo $HOME/other");
    let of = format!("--of={folder}");
    let gateway = [
        "internal",
        "gateway",
        &of,
        "--cidr=10.99.0.0/24",
        "--ports=5005",
    ];
    lab.ok(&gateway);
    let relays = || sh(lab, "pgrep -fc '[i]nternal gateway' || true");
    assert_eq!(relays(), "1");
    sh(lab, "rmdir $HOME/other");
    assert!(crate::common::within(Duration::from_secs(30), || relays() == "0"));
}
