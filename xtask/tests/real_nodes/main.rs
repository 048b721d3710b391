//! What real nodes take too long for in every run: `scripts/test --real`. Cargo leaves this binary out unless it is named.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

#[path = "../common/mod.rs"]
mod common;
mod earlier_line;
#[path = "../in_lab/mod.rs"]
mod in_lab;
mod kills;
mod suites;
mod two_nodes;

use in_lab::Lab;
use serde_json::Value;

/// What a cluster could leave in the lab, one thing a line. `/run/netns` becomes a mount with the first
/// network namespace that a name is given to, as with `ip netns add`, and stays.
const INVENTORY: &str = "ip -brief link | cut -d' ' -f1; ls /run/netns 2>/dev/null; iptables -S; iptables -t nat -S; \
    find ~/.talos/clusters ~/.talos/cni/cache/results -mindepth 1 2>/dev/null; \
    ls ~/.local/state/talos-xtask/clusters 2>/dev/null; ls /dev/shm/shm-* 2>/dev/null; \
    pgrep -l 'qemu|talosctl' | cut -d' ' -f2; cut -d' ' -f2 /proc/mounts | grep -vx /run/netns; true";

/// With output for the report, because a failure is minutes away from its cause.
fn ok(lab: &Lab, words: &[&str]) {
    lab.said_outside(words)
        .unwrap_or_else(|said| panic!("{said}"));
}

fn status(lab: &Lab) -> Value {
    let output = lab.xtask(&["--lab", "cluster", "status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}
