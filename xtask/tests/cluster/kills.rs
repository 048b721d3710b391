//! Kills and interrupts at many moments of `cluster up`: what `cluster destroy` leaves is
//! what there was before. One moment by default; all ten with `XTASK_ALL_MOMENTS=1`,
//! as `scripts/cluster-kills` sets it.

use super::in_lab::{Lab, Owner};
use super::{INVENTORY, MOMENTS, state};

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

/// By default attacks come at this moment alone.
const SOME: usize = 9;

#[test]
fn whatever_is_killed_destroy_leaves_nothing() {
    for lab in Lab::of_each("whatever_is_killed", [Owner::User, Owner::Root]) {
        each_attack(&lab);
    }
}

fn each_attack(lab: &Lab) {
    let all = std::env::var_os("XTASK_ALL_MOMENTS").is_some();
    let before = lab.sh(INVENTORY);
    let (xtask, root) = (lab.binary(), if lab.is_of_user() { "sudo" } else { "" });
    for (what, attack) in ATTACKS {
        let moments = MOMENTS.iter().enumerate();
        for (_, moment) in moments.filter(|(index, _)| all || *index == SOME) {
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
