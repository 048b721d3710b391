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

    let shown = lab.ok(&["cluster", "clean", "--dry-run"]);
    assert!(!shown.contains("clusters/bare"), "{shown}");
    let refused = lab.fails(2, &["cluster", "clean"]);
    assert!(refused.contains("cluster clean --yes"), "{refused}");
    let said = lab.sh(&format!("{XTASK} cluster clean --yes 2>&1"));
    assert!(said.contains("bridge talos01234567 is kept"), "{said}");
    assert!(!said.contains("nothing is left"), "{said}");
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
