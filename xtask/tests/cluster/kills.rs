//! Kills and interrupts at many moments of `cluster up`: what `cluster destroy` leaves is
//! what there was before. One or two moments by default; all ten with `XTASK_ALL_MOMENTS=1`,
//! as `scripts/cluster-kills` sets it.

use super::{INVENTORY, MOMENTS, in_lab::Lab, state};

/// What happens to which process; `$up` is `cluster up`, and `$root` is sudo for a user.
const ATTACKS: &[(&str, &str)] = &[
    (
        "talosctl killed",
        "until $root pkill -9 -f '[t]alosctl.* cluster create.*--name=' || ! kill -0 $up 2>/dev/null; do sleep 0.01; done",
    ),
    (
        "a QEMU killed",
        "until $root pkill -9 -f '[q]emu-system.*controlplane-1.monitor' || ! kill -0 $up 2>/dev/null; do sleep 0.01; done",
    ),
    ("interrupted", "kill -TERM $up"),
    (
        "interrupted twice",
        "kill -TERM $up; sleep 0.1; kill -TERM $up",
    ),
];

#[test]
fn whatever_is_killed_destroy_leaves_nothing() {
    if let Some(lab) = Lab::own("whatever_is_killed") {
        each_attack(&lab, &[5, 9]);
    }
}

#[test]
fn whatever_is_killed_destroy_leaves_nothing_of_a_user() {
    if let Some(lab) = Lab::own_of_user("whatever_is_killed_of_a_user") {
        each_attack(&lab, &[9]);
    }
}

fn each_attack(lab: &Lab, some: &[usize]) {
    let all = std::env::var_os("XTASK_ALL_MOMENTS").is_some();
    let before = lab.sh(INVENTORY);
    let (xtask, root) = (lab.binary(), if lab.is_of_user() { "sudo" } else { "" });
    for (what, attack) in ATTACKS {
        let moments = MOMENTS.iter().enumerate();
        for (_, moment) in moments.filter(|(index, _)| all || some.contains(index)) {
            let codes = lab.user_sh(&format!(
                "root={root}; {xtask} cluster up >~/up.log 2>&1 & up=$!; \
                 for i in $(seq 2000); do ({moment}) 2>/dev/null && break; sleep 0.005; done; \
                 {attack} 2>/dev/null; rc=0; wait $up || rc=$?; echo $rc"
            ));
            assert_ne!(
                codes.trim(),
                "0",
                "{what} when `{moment}`: {}",
                lab.sh("cat ~/up.log")
            );
            lab.ok(&["cluster", "destroy", "--yes"]);
            assert_eq!(lab.sh(INVENTORY), before, "{what} when `{moment}`");
            assert_eq!(state(lab), "absent");
        }
    }
}
