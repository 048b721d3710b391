//! Air-gapped tests on real parts: talosctl and its helper, nodes that make requests, the
//! kernel's packet filter and tcpdump.

mod kills;
mod user;

use std::time::Duration;

use crate::in_lab::{Lab, TALOSCTL};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_mins(1);

/// A registry that has everything but `none`, one at a time on a connection, and a server
/// that answers 404 and one that keeps connections open.
const SERVERS: &str = r#"
cat >$HOME/serve.pl <<'END'
use IO::Socket::INET;
my ($address, $port, $kind) = @ARGV;
my $s = IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port, Listen => 9, ReuseAddr => 1) or die "$address:$port: $!";
open(my $up, '>', "$ENV{HOME}/up.$port"); close $up;
$SIG{CHLD} = 'IGNORE';
while (my $c = $s->accept) {
    next if fork;
    if ($kind eq 'hold') { while (<$c>) {} exit }
    while (defined(my $line = <$c>)) {
        my ($method, $path) = split / /, $line;
        while (<$c>) { last if /^\r?\n$/ }
        my $found = $kind eq 'registry' && $path !~ /none/;
        print $c ($found ? "HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:" . ('0' x 64) . "\r\n" : "HTTP/1.1 404 Not Found\r\n");
        print $c "Content-Length: 0\r\n\r\n";
    }
    exit;
}
END
# The world outside: a host behind this one.
ip netns add outside
ip link add out0 type veth peer name out1
ip link set out1 netns outside
ip addr add 192.0.2.254/24 dev out0
ip link set out0 up
outside() { nsenter --net=/run/netns/outside "$@"; }
outside ip addr add 192.0.2.1/24 dev out1
outside ip link set out1 up
outside ip route add default via 192.0.2.254
setsid perl $HOME/serve.pl 127.0.0.1 5005 registry >/dev/null 2>&1 </dev/null &
for args in '9080 nothing' '9443 hold' '4460 hold' '9500 registry'; do
    setsid nsenter --net=/run/netns/outside perl $HOME/serve.pl 192.0.2.1 $args >/dev/null 2>&1 </dev/null &
done
n=0; until [ -e $HOME/up.5005 ] && [ -e $HOME/up.9080 ] && [ -e $HOME/up.9443 ] && [ -e $HOME/up.4460 ] && [ -e $HOME/up.9500 ]; do n=$((n + 1)); [ $n -lt 100 ]; sleep 0.1; done
"#;

/// A patch that makes nodes ask for these lines.
fn asking(lines: &[&str]) -> String {
    let file = json!({
        "content": lines.join("\n") + "\n", "permissions": 420, "path": "/var/lab/requests", "op": "create",
    });
    format!("--config-patch={}", json!({"machine": {"files": [file]}}))
}

fn report(lab: &Lab) -> Value {
    serde_json::from_str(&lab.ok(&["airgap", "report", "--json"])).unwrap()
}

/// The report once `is_complete` holds for it.
fn report_when(lab: &Lab, is_complete: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Value::Null;
    let found = crate::common::within(SOON, || {
        seen = report(lab);
        is_complete(&seen)
    });
    assert!(found, "{seen:#}");
    seen
}

fn of<'a>(list: &'a Value, field: &str, value: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|one| one[field] == value)
}

fn contact<'a>(report: &'a Value, name: &str) -> &'a Value {
    of(&report["names"], "name", name).unwrap_or_else(|| panic!("{name}: {report:#}"))
}

/// The name as it was asked of that port of the gateway; of `None`, of none.
fn contact_via<'a>(report: &'a Value, name: &str, port: Option<u16>) -> Option<&'a Value> {
    let via = port.map(|port| format!("172.20.0.1:{port}"));
    let mut names = report["names"].as_array()?.iter();
    names.find(|contact| contact["name"] == name && contact["via"] == json!(via))
}

/// The facts by their ids.
fn facts(report: &Value) -> Vec<(&str, bool)> {
    let fact = |fact: &'_ Value| fact["holds"].as_bool().unwrap();
    let facts = report["facts"].as_array().unwrap().iter();
    facts
        .map(|found| (found["id"].as_str().unwrap(), fact(found)))
        .collect()
}

fn has(report: &Value, name: &str) -> bool {
    of(&report["names"], "name", name).is_some()
}

fn pull<'a>(report: &'a Value, image: &str) -> &'a Value {
    of(&report["pulls"], "image", image).unwrap_or_else(|| panic!("{image}: {report:#}"))
}

/// Rules, processes, listeners of the helper and files.
fn nothing_is_left(lab: &Lab) {
    let left = lab.sh(
        "nft list tables inet; pgrep -af '[i]nternal observe|[t]cpdump|[a]ir-gapped' || true
        grep -hE ':1F4[1-4] .* 0A ' /proc/net/tcp /proc/net/tcp6 || true
        find $HOME/.local/state/talos-xtask/airgap -mindepth 1 2>/dev/null || true",
    );
    assert_eq!(left.trim(), "");
}

#[test]
fn what_nodes_ask_for_is_recorded_and_judged() {
    let Some(lab) = Lab::own("what_nodes_ask_for_is_recorded_and_judged") else {
        return;
    };
    let started = lab.xtask(&["lab", "up"]);
    assert!(
        started.status.success(),
        "{}",
        String::from_utf8_lossy(&started.stderr)
    );
    lab.sh(&format!("set -e\n{SERVERS}"));
    kills::at_moments(&lab);
    nothing_leaves_the_gap(&lab);
    nodes_leave_by_the_proxy_only(&lab);
    names_inside_tls_are_the_helpers(&lab);
    images_come_by_the_reverse_proxy(&lab);
}

fn nothing_leaves_the_gap(lab: &Lab) {
    let digest = format!("127.0.0.1:5005/u/y@sha256:{}", "1".repeat(64));
    let by_digest = format!("pull {digest}");
    let patch = asking(&[
        "wait 3 ntp 192.0.2.2",
        "connect discovery.talos.dev:443",
        "connect 192.0.2.1:9443",
        "ntp 192.0.2.1",
        "nts 192.0.2.1",
        "dns 8.8.8.8 ghcr.io",
        "pull 127.0.0.1:5005/u/x:v1",
        &by_digest,
        "pull 127.0.0.1:5005/u/none:v1",
    ]);
    let mut up = vec![
        "cluster",
        "up",
        "--airgap",
        "gap",
        "--controlplanes",
        "1",
        "--workers",
        "1",
    ];
    up.push(&patch);
    let plan = lab.ok(&[&up[..], &["--dry-run"]].concat());
    assert!(
        plan.contains("--airgapped") && plan.contains("nft"),
        "{plan}"
    );
    lab.ok(&up);
    lab.ok(&["airgap", "status"]);

    let none = "127.0.0.1:5005/u/none:v1";
    let refused = [
        "192.0.2.1:9443",
        "192.0.2.1:123",
        "192.0.2.1:4460",
        "192.0.2.2:123",
        "8.8.8.8:53",
    ];
    let asked_by_both = |seen: &Value| {
        let pulled = of(&seen["pulls"], "image", none);
        pulled.is_some_and(|pull| pull["nodes"].as_array().unwrap().len() == 2)
            && seen["ready"].as_object().unwrap().len() == 2
            && refused.iter().all(|name| has(seen, name))
    };
    let seen = report_when(lab, asked_by_both);
    // Two nodes asked for one name, and both are named.
    let direct = contact(&seen, "192.0.2.1:9443");
    assert_eq!(direct["state"], "refused", "{direct}");
    let nodes: Vec<&str> = direct["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["node"].as_str().unwrap())
        .collect();
    assert_eq!(nodes, ["controlplane-1", "worker-1"]);
    for (name, kind) in [
        ("192.0.2.1:123", "time"),
        ("192.0.2.1:4460", "time"),
        ("8.8.8.8:53", "resolver"),
    ] {
        let contact = contact(&seen, name);
        assert_eq!(
            (&contact["state"], &contact["kind"]),
            (&"refused".into(), &kind.into())
        );
        assert_eq!(contact["severity"]["severity"], "noise", "{contact}");
    }
    // Three attempts, two seconds apart, before services started.
    let waited = &contact(&seen, "192.0.2.2:123")["severity"];
    assert_eq!(waited["severity"], "delays", "{seen:#}");
    assert!(waited["seconds"].as_u64().unwrap() >= 4, "{waited}");
    // Only its name was asked for: without DNS there is no address to connect to.
    assert_eq!(contact(&seen, "discovery.talos.dev")["kind"], "discovery");
    assert_eq!(contact(&seen, "ghcr.io")["nodes"][0]["boots"], json!([1]));
    assert_eq!(
        pull(&seen, "127.0.0.1:5005/u/x:v1")["statuses"],
        json!([200])
    );
    assert_eq!(pull(&seen, &digest)["statuses"], json!([200]));
    assert_eq!(pull(&seen, none)["statuses"], json!([404]));
    assert_eq!(seen["facts"][0]["id"], "discovery");
    assert_eq!(seen["facts"][0]["holds"], true);
    let said = lab.ok(&["airgap", "report"]);
    assert!(
        said.contains("air-gapped: nothing left this host"),
        "{said}"
    );

    the_second_boot_and_lists(lab, none, &digest);
    what_a_node_waits_for_is_fatal(lab);

    // tcpdump ends with its observer, and what is not observed is not called air-gapped.
    lab.sh("kill -9 $(pgrep -f '[i]nternal observe.*--serve')");
    let said = lab.ok(&["airgap", "report"]);
    let doubt = "but the observer does not run";
    assert!(
        said.contains(doubt) && !said.contains("air-gapped"),
        "{said}"
    );
    lab.ok(&["cluster", "destroy", "--yes"]);
    nothing_is_left(lab);
}

/// A node that does not become ready, because it waits for a time server.
fn what_a_node_waits_for_is_fatal(lab: &Lab) {
    let file = json!({
        "content": "wait 0 nts 192.0.2.3\n", "permissions": 420, "path": "/var/lab/requests", "op": "append",
    });
    let patch = json!({"machine": {"files": [file]}});
    lab.sh(&format!(
        "{TALOSCTL} -n 172.20.0.3 patch machineconfig --mode=reboot --patch '{patch}'"
    ));
    let seen = report_when(lab, |seen| {
        let waited = of(&seen["names"], "name", "192.0.2.3:4460");
        waited.is_some_and(|waited| waited["severity"]["severity"] == "fatal")
    });
    let waited = &contact(&seen, "192.0.2.3:4460")["severity"];
    assert_eq!(waited["node"], "172.20.0.3", "{waited}");
    // What it asked for in its earlier boots did not keep it from becoming ready.
    let direct = &contact(&seen, "192.0.2.1:4460")["severity"];
    assert_eq!(direct["severity"], "noise", "{direct}");
}

/// The second boot asks for one image more.
fn the_second_boot_and_lists(lab: &Lab, none: &str, digest: &str) {
    lab.ok(&["cluster", "reboot", "worker-1"]);
    let second = "127.0.0.1:5005/u/second:v1";
    // The control plane may still have its connection to the worker's former boot.
    lab.sh(&format!(
        "n=0; until {TALOSCTL} -n 172.20.0.3 image pull {second}; do n=$((n + 1)); [ $n -lt 20 ] || exit 1; sleep 0.5; done"
    ));
    let both_boots = |seen: &Value| {
        of(&seen["names"], "name", "192.0.2.1:9443")
            .is_some_and(|contact| contact["nodes"][1]["boots"] == json!([1, 2]))
    };
    let seen = report_when(lab, |seen| {
        both_boots(seen) && of(&seen["pulls"], "image", second).is_some()
    });
    assert_eq!(pull(&seen, second)["boots"], json!({"172.20.0.3": [2]}));

    // A complete list passes, and one with a name removed fails.
    let names: Vec<&str> = seen["names"]
        .as_array()
        .unwrap()
        .iter()
        .map(|contact| contact["name"].as_str().unwrap())
        .collect();
    lab.sh(&format!(
        "printf '%s\\n' {} >$HOME/names; grep -v ^8.8.8.8 $HOME/names >$HOME/fewer; printf '%s\\n' 127.0.0.1:5005/u/x:v1 >$HOME/images",
        names.join(" ")
    ));
    let home = lab.sh("printf %s $HOME");
    lab.ok(&["airgap", "report", "--expect", &format!("{home}/names")]);
    let words = [
        "--lab",
        "airgap",
        "report",
        "--json",
        "--expect",
        &format!("{home}/fewer"),
        "--images",
        &format!("{home}/images"),
    ];
    let output = lab.xtask(&words);
    assert_eq!(output.status.code(), Some(1));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["unexpected"], json!(["8.8.8.8:53"]));
    assert_eq!(seen["missing"], json!([none, second, digest]));
}

fn nodes_leave_by_the_proxy_only(lab: &Lab) {
    // A helper that was started by hand has the ports. Its patch is from another day for
    // every later helper.
    lab.sh(
        "set -e; mkdir -p $HOME/other; cd $HOME/other
        setsid $OLDPWD/_out/talosctl-linux-amd64 debug air-gapped --advertised-address 172.20.0.1 >log 2>&1 </dev/null & echo $! >pid
        n=0; until grep -q ':1F41 .* 0A ' /proc/net/tcp6 /proc/net/tcp; do n=$((n + 1)); [ $n -lt 100 ]; sleep 0.1; done",
    );
    let said = lab.fails(3, &["airgap", "up", "proxy"]);
    assert!(
        said.contains("port 8001 is already in use") && said.contains("talosctl"),
        "{said}"
    );
    lab.sh("kill $(cat $HOME/other/pid); while kill -0 $(cat $HOME/other/pid) 2>/dev/null; do sleep 0.05; done");
    nothing_is_left(lab);

    let patch = asking(&[
        "connect discovery.talos.dev:443",
        "connect 192.0.2.1:9443",
        "nts 192.0.2.1",
        "get http://192.0.2.1:9080/nothing",
    ]);
    lab.ok(&[
        "cluster",
        "up",
        "--airgap",
        "proxy",
        "--controlplanes",
        "1",
        "--workers",
        "0",
        &patch,
    ]);
    // Answers, what is refused, and the helper's log come by different ways, in any order.
    let seen = report_when(lab, |seen| {
        let answered = of(&seen["names"], "name", "192.0.2.1:9080");
        answered.is_some_and(|contact| contact["statuses"] == json!([404]))
            && has(seen, "192.0.2.1:4460")
            && seen["facts"][2]["holds"] == true
    });
    // The tunnel is still open, so the helper has not printed the guide's line for it.
    let state = |name: &str| contact(&seen, name)["state"].clone();
    assert_eq!(state("192.0.2.1:9443"), "reached");
    assert_eq!(state("discovery.talos.dev:443"), "refused");
    // There is a server, but the proxy is the only way.
    assert_eq!(state("192.0.2.1:4460"), "refused");
    assert_eq!(contact(&seen, "192.0.2.1:9443")["via"], "172.20.0.1:8002");
    // The stand-in has no Kubernetes that the manifest could be applied to.
    assert_eq!(
        facts(&seen),
        [
            ("discovery", true),
            ("untrusted", true),
            ("fetched", true),
            ("applied", false)
        ]
    );
    let said = lab.ok(&["airgap", "report"]);
    assert!(
        said.contains("the proxy made a tunnel to 192.0.2.1:9443") && !said.contains("air-gapped"),
        "{said}"
    );

    // Others than the bridge and this host do not reach the helper.
    let reach = "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(PeerAddr => shift, Timeout => 9) or print \"$!\\n\"'";
    let said = lab.sh(&format!(
        "for port in 8001 8002 8003 8004; do
            {reach} 127.0.0.1:$port; nsenter --net=/run/netns/outside {reach} 192.0.2.254:$port
        done"
    ));
    assert_eq!(said, "Connection refused\n".repeat(4));

    // The patch of another day, and a helper that ended, are found.
    let folder = "$HOME/.local/state/talos-xtask/airgap/talos-default";
    let patch = format!("{folder}/air-gapped-patch.yaml");
    lab.sh(&format!(
        "cp {patch} $HOME/own && cp $HOME/other/air-gapped-patch.yaml {patch}"
    ));
    let status = |code: i32| {
        let output = lab.xtask(&["--lab", "airgap", "status"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    };
    assert!(status(1).contains("does not use the certificate"));
    lab.sh(&format!("cp $HOME/own {patch}"));
    status(0);
    lab.sh("kill -9 $(pgrep -f '[a]ir-gapped')");
    assert!(status(1).contains("helper does not run"));

    lab.ok(&["airgap", "down"]);
    nothing_is_left(lab);
    lab.ok(&["cluster", "destroy", "--yes"]);
}

/// The nodes' proxy is reached over TLS: what is asked of it is not visible on the bridge.
fn names_inside_tls_are_the_helpers(lab: &Lab) {
    lab.ok(&["airgap", "up", "secure-proxy"]);
    let patch = asking(&[
        "connect discovery.talos.dev:443",
        "connect 192.0.2.1:9443",
        "get http://192.0.2.1:9080/nothing",
        "nts 192.0.2.1",
    ]);
    let up = [
        "cluster",
        "up",
        "--airgap",
        "secure-proxy",
        "--controlplanes",
        "1",
        "--workers",
        "0",
        &patch,
    ];
    // The patch of another day is found before nodes are created with it.
    let own = "$HOME/.local/state/talos-xtask/airgap/talos-default/air-gapped-patch.yaml";
    lab.sh(&format!(
        "mv {own} $HOME/own && cp $HOME/other/air-gapped-patch.yaml {own}"
    ));
    let output = lab.xtask(&[&["--lab"], &up[..]].concat());
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        !output.status.success() && said.contains("does not use the certificate"),
        "{said}"
    );
    lab.sh(&format!(
        "mv $HOME/own {own}; ! pgrep qemu-system && ! ls -d $HOME/.talos/clusters/*"
    ));

    lab.ok(&up);
    let seen = report_when(lab, |seen| {
        [
            "192.0.2.1:9443",
            "discovery.talos.dev:443",
            "192.0.2.1:9080",
        ]
        .iter()
        .all(|name| contact_via(seen, name, Some(8003)).is_some())
            && has(seen, "192.0.2.1:4460")
    });
    let hidden = |name: &str| {
        let found = contact_via(&seen, name, Some(8003));
        found.unwrap_or_else(|| panic!("{name}: {seen:#}"))
    };
    for (name, state) in [
        ("192.0.2.1:9443", "reached"),
        ("discovery.talos.dev:443", "refused"),
        // The helper's log shows neither its status nor whether there was one.
        ("192.0.2.1:9080", "tried"),
    ] {
        let found = hidden(name);
        assert_eq!(found["state"], state, "{found}");
        assert_eq!(
            (&found["inside_tls"], &found["statuses"]),
            (&json!(true), &json!([]))
        );
        // Only one node had a connection to the proxy.
        assert_eq!(found["nodes"][0]["node"], "controlplane-1", "{found}");
    }
    let direct = contact_via(&seen, "192.0.2.1:4460", None).unwrap();
    assert_eq!(direct["state"], "refused", "{direct}");
    let expected = [("discovery", true), ("untrusted", true), ("fetched", true)];
    assert_eq!(facts(&seen)[..3], expected);
    let said = lab.ok(&["airgap", "report"]);
    assert!(
        said.contains("the proxy made a tunnel to 192.0.2.1:9443")
            && said.contains("in the helper's log, status inside TLS")
            && !said.contains("air-gapped"),
        "{said}"
    );
    lab.ok(&["cluster", "destroy", "--yes"]);
    nothing_is_left(lab);
}

/// As in Talos' CI: the images of one registry come by the reverse proxy.
fn images_come_by_the_reverse_proxy(lab: &Lab) {
    let registry = "192.0.2.1:9500";
    let target = format!("http://{registry}");
    lab.ok(&["airgap", "up", "reverse-proxy", "--target", &target]);
    let (there, none) = (
        format!("{registry}/u/x:v1"),
        format!("{registry}/u/none:v1"),
    );
    let patch = asking(&[
        &format!("pull {there}"),
        &format!("pull {none}"),
        "connect 192.0.2.1:9443",
    ]);
    lab.ok(&[
        "cluster",
        "up",
        "--airgap",
        "reverse-proxy",
        "--controlplanes",
        "1",
        "--workers",
        "0",
        &patch,
    ]);
    let seen = report_when(lab, |seen| {
        has(seen, "192.0.2.1:9443")
            && contact_via(seen, registry, Some(8004)).is_some()
            && contact_via(seen, registry, None).is_some()
    });
    let by_proxy = contact_via(&seen, registry, Some(8004));
    let by_proxy = by_proxy.unwrap_or_else(|| panic!("{seen:#}"));
    assert_eq!(by_proxy["state"], "reached", "{by_proxy}");
    assert_eq!(by_proxy["nodes"][0]["node"], "controlplane-1");
    for image in [&there, &none] {
        let pull = pull(&seen, image);
        assert_eq!(
            (&pull["inside_tls"], &pull["statuses"]),
            (&json!(true), &json!([]))
        );
        assert_eq!(pull["endpoint"], "172.20.0.1:8004");
    }
    // What the registry does not have is then asked of the registry itself.
    let direct = contact_via(&seen, registry, None).unwrap();
    assert_eq!(direct["state"], "refused", "{direct}");
    assert_eq!(contact(&seen, "192.0.2.1:9443")["state"], "refused");
    // There is no proxy that the discovery service could be asked of.
    let expected = [("discovery", false), ("untrusted", true), ("fetched", true)];
    assert_eq!(facts(&seen)[..3], expected);
    let said = lab.ok(&["airgap", "report"]);
    assert!(
        said.contains(&format!("the reverse proxy reached {registry}"))
            && !said.contains("air-gapped"),
        "{said}"
    );
    lab.ok(&["cluster", "destroy", "--yes"]);
    nothing_is_left(lab);
}
