//! Kills at many moments of `airgap up` and `cluster up --airgap`: `airgap down` and `cluster
//! destroy` leave nothing. Some moments in every run; all of them, and also those of a user
//! with sudo, with `XTASK_TEST_REAL=1`.

use super::nothing_is_left;
use crate::in_lab::Lab;

/// Conditions of a shell, in the order in which they become true. `$root` is sudo for a user.
const MOMENTS: [&str; 8] = [
    "test -d $dir",
    "test -s $dir/airgap.json",
    "$root nft list tables inet | grep -q xtask_",
    "pgrep -f '[i]nternal observe.*--serve'",
    "test -e $dir/observed.jsonl",
    "pgrep -f '[i]nternal airgap-helper'",
    "test -s $dir/air-gapped-patch.yaml",
    "grep -q ':1F44 .* 0A ' /proc/net/tcp6",
];
/// Of the creation of the cluster, after the air gap.
const MOMENTS_OF_CREATION: [&str; 3] = [
    "pgrep -f '[a]irgap status'",
    "pgrep -f '[t]alosctl.* cluster create'",
    "pgrep -f '[q]emu-system.*controlplane-1.monitor'",
];
/// What is killed; `$up` is the command.
const VICTIMS: [&str; 3] = [
    "kill -9 $up",
    "$root pkill -9 -f '[i]nternal observe.*--serve'",
    "$root pkill -9 -f '[t]alosctl.* air-gapped'",
];

pub(super) fn at_moments(lab: &Lab) {
    if std::env::var_os("XTASK_TEST_REAL").is_some() {
        return at_all_moments(lab);
    }
    let some: &[&str] = if lab.is_of_user() {
        &[MOMENTS[6]]
    } else {
        &[MOMENTS[2], MOMENTS[5], MOMENTS[7]]
    };
    for moment in some {
        killed(lab, "airgap up proxy", moment, VICTIMS[0]);
        lab.ok(&["airgap", "down"]);
        nothing_is_left(lab);
    }
    killed(lab, "cluster up --airgap gap", MOMENTS[3], VICTIMS[0]);
    lab.ok(&["cluster", "destroy", "--yes"]);
    nothing_is_left(lab);
}

fn at_all_moments(lab: &Lab) {
    let all = MOMENTS.iter().chain(&MOMENTS_OF_CREATION);
    for moment in all {
        for victim in VICTIMS {
            if MOMENTS.contains(moment) {
                killed(lab, "airgap up secure-proxy", moment, victim);
                lab.ok(&["airgap", "down"]);
                nothing_is_left(lab);
            }
            let up = "cluster up --airgap proxy --controlplanes 1 --workers 0";
            killed(lab, up, moment, victim);
            lab.ok(&["cluster", "destroy", "--yes"]);
            nothing_is_left(lab);
        }
    }
}

/// Runs the command and a victim's kill at that moment, and waits for the command's end.
fn killed(lab: &Lab, command: &str, moment: &str, victim: &str) {
    let (xtask, root) = (lab.binary(), if lab.is_of_user() { "sudo" } else { "" });
    lab.user_sh(&format!(
        "root={root}; dir=$HOME/.local/state/talos-xtask/airgap/talos-default
        {xtask} {command} >$HOME/up.log 2>&1 & up=$!
        for i in $(seq 4000); do
            ({moment}) >/dev/null 2>&1 && break
            kill -0 $up 2>/dev/null || break
            sleep 0.005
        done
        {victim} 2>/dev/null
        wait $up || true"
    ));
}
