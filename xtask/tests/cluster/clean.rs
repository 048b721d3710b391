//! `cluster clean`: everything of dead clusters goes, healthy ones stay.

use crate::in_lab::Lab;
use crate::{INVENTORY, XTASK};

const HOME: &str = "~/.talos/clusters";

#[test]
fn what_dead_clusters_left_goes_and_healthy_ones_stay() {
    let Some(lab) = Lab::own("what_dead_clusters_left") else {
        return;
    };
    let empty = lab.sh(INVENTORY);
    let text = lab.ok(&["cluster", "clean"]);
    assert!(text.contains("no cluster has left anything"), "{text}");

    // A healthy one that this program has never heard of.
    let up = ["cluster", "up", "--no-wait", "--workers", "0"];
    let bare = ["--name", "bare", "--cidr", "172.20.9.0/24"];
    let script = ["--dry-run", "--format", "sh"];
    lab.sh(&lab.ok(&[&up[..], &bare, &script].concat()));
    let healthy = lab.sh(INVENTORY);
    let pids = lab.sh(&format!("cat {HOME}/bare/*.pid"));

    // T4: everything dead and the bridge gone, as a restart of the host leaves it.
    lab.ok(&[&up[..], &["--name", "restarted", "--cidr", "172.20.1.0/24"]].concat());
    lab.sh(&format!(
        "for file in {HOME}/restarted/*.pid; do kill -9 $(cat $file); done; pkill -9 -f [q]emu-system.*clusters/restarted/; \
         for i in $(seq 500); do pgrep -f '[c]lusters/restarted/' >/dev/null || break; sleep 0.01; done; \
         ip link delete talos$(printf restarted | sha256sum | cut -c1-8)"
    ));
    // T18: a killed launcher and a folder that was removed by hand.
    lab.ok(&[&up[..], &["--name", "orphaned", "--cidr", "172.20.2.0/24"]].concat());
    lab.sh(&format!(
        "kill -9 $(cat {HOME}/orphaned/orphaned-controlplane-1.pid); rm -r {HOME}/orphaned"
    ));
    // T5: a create that died half-way.
    lab.sh(&format!("mkdir -p {HOME}/half; echo $$ > {HOME}/half/half-worker-1.pid; touch {HOME}/half/half-worker-1.log"));
    // A bridge of another user: nothing shows whose it is.
    lab.sh("ip link add talos01234567 type bridge");
    // Rules for bridges that are gone, without a folder or anything else; one for a bridge
    // that exists, and one of the user.
    let rule = |bridge: &str| format!("iptables -I DOCKER-USER -i {bridge} -o {bridge} -j ACCEPT");
    let (gone, kept, users) = (
        rule("talosfedcba98"),
        rule("talos01234567"),
        rule("talosuser"),
    );
    lab.sh(&format!("{gone}; {kept}; {users}"));
    // Memory of nodes: of a cluster that is gone, of the healthy one, of an unknown one, in use,
    // and a file of another user.
    lab.sh("cd /dev/shm; for name in restarted-worker-1 bare-controlplane-1 unknown-worker-1 orphaned-worker-1; do echo x >shm-$name; done; \
            echo x >shm-half-worker-1; chown 64123 shm-half-worker-1");
    lab.sh("setsid -f sleep 600 <>/dev/shm/shm-orphaned-worker-1 >/dev/null 2>&1");

    let shown = lab.ok(&["cluster", "clean", "--dry-run"]);
    assert!(!shown.contains("clusters/bare"), "{shown}");
    let refused = lab.fails(2, &["cluster", "clean"]);
    assert!(refused.contains("cluster clean --yes"), "{refused}");
    let said = lab.sh(&format!("{XTASK} cluster clean --yes 2>&1"));
    let memory = ["orphaned", "unknown"].map(|name| format!("/dev/shm/shm-{name}-worker-1"));
    let [used, unknown] = &memory;
    assert!(
        said.contains(&format!("{used} is kept: process ")),
        "{said}"
    );
    for what in ["bridge talos01234567", unknown] {
        assert!(said.contains(&format!("{what} is kept")), "{said}");
    }
    assert!(!said.contains("nothing is left"), "{said}");
    let rules = lab.sh("iptables -S DOCKER-USER");
    assert!(!rules.contains("talosfedcba98"), "{rules}");
    assert!(
        rules.contains("talos01234567") && rules.contains("talosuser"),
        "{rules}"
    );
    lab.sh("pkill -f '[s]leep 600'; cd /dev/shm; rm shm-orphaned-worker-1 shm-bare-controlplane-1 shm-unknown-worker-1 shm-half-worker-1");
    lab.sh(&[&kept, &users]
        .map(|rule| rule.replace("-I", "-D"))
        .join("; "));
    lab.sh("ip link delete talos01234567");
    assert_eq!(lab.sh(INVENTORY), healthy, "{said}");
    assert_eq!(lab.sh(&format!("cat {HOME}/bare/*.pid")), pids);
    lab.sh(&format!(
        "for file in {HOME}/bare/*.pid; do kill -0 $(cat $file) || exit 1; done"
    ));

    lab.ok(&["cluster", "stop", "--name", "bare", "--timeout", "0"]);
    lab.ok(&["cluster", "clean", "--yes"]);
    lab.sh(&format!("test -e {HOME}/bare/state.yaml"));
    let said = lab.ok(&["cluster", "clean", "--stopped", "--yes"]);
    assert!(said.contains("nothing is left"), "{said}");
    assert_eq!(lab.sh(INVENTORY), empty);
}
