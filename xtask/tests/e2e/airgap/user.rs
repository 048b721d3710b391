//! Air gaps of an unprivileged user with sudo: root does what needs root, nothing else, and
//! looking does not ask for a password.

use super::{kills, nothing_is_left};
use crate::in_lab::Lab;

/// Commands of the user; nothing of root's is in the home afterwards.
const SCRIPT: &str = r#"
set -e
x=$HOME/xtask
none_of_root() { left=$(find $HOME -uid 0 ! -path $x); echo "$1, files of root: $left" >&2; test -z "$left"; }
$x airgap up secure-proxy >&2
$x airgap status >&2
$x airgap report >&2
none_of_root "airgap up"
for word in '[i]nternal observe.*--serve' '[t]alosctl.* air-gapped'; do
    pid=$(pgrep -f "$word")
    test "$(ps -o uid= -p $pid | tr -d ' ')" = 64123
done
# To capture, and nothing else.
pid=$(pgrep -f '[i]nternal observe.*--serve')
grep -q '^CapEff:.0000000000002000$' /proc/$pid/status
$x airgap down >&2
none_of_root "airgap down"
"#;

/// On a terminal, where sudo would ask; the code is printed at the end.
const LOOK: &str = r#"
for command in status report; do
    code=0; timeout 60 script -qec "$HOME/xtask airgap $command" /dev/null </dev/null || code=$?
    echo "$command ends with $code"
done
"#;

#[test]
fn a_user_with_sudo_has_an_air_gap_of_its_own() {
    let Some(lab) = Lab::own_of_user("a_user_with_sudo_has_an_air_gap_of_its_own") else {
        return;
    };
    lab.user_sh(SCRIPT);
    nothing_is_left(&lab);

    let may = |rule: &str| {
        lab.sh(&format!(
            "echo 'xtasktest ALL=(ALL:ALL) {rule}' >/etc/sudoers"
        ))
    };
    lab.ok(&["airgap", "up", "gap"]);
    may("ALL");
    let said = lab.user_sh(LOOK);
    may("NOPASSWD: ALL");
    assert!(
        said.contains("status ends with 1") && said.contains("report ends with 0"),
        "{said}"
    );
    let unknown = "cannot tell which packet filter rules there are";
    assert_eq!(said.matches(unknown).count(), 2, "{said}");
    for asked in ["password for", "asking sudo", "air-gapped"] {
        assert!(!said.contains(asked), "{asked}: {said}");
    }
    lab.ok(&["airgap", "down"]);
    nothing_is_left(&lab);
    kills::at_moments(&lab);
}
