//! Shell functions at the head of a script, each only where a step needs it.

use crate::plan::{Action, Plan, Privilege, Step};

/// What steps as root go through: the same environment as the run gives them.
const ROOT: &str = r#"
# As root, with HOME, PATH and what a step lists
root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else
    sudo -- env -i HOME="$HOME" PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" "$@"
  fi
}
"#;

/// What root makes in a user's folder is the user's.
const MAKE_DIRS: &str = r#"
# As root: each new folder belongs to the owner of the one that it lies in
make_dirs() {
  [ ! -d "$1" ] || return 0
  make_dirs "$(dirname -- "$1")"
  root mkdir -- "$1"
  root chown --reference="$(dirname -- "$1")" -- "$1"
}
"#;

/// A pid alone is recycled: what counts is boot, pid and start time.
const STOP: &str = r#"
# Whether pid $1, started at tick $2 of boot $3, still lives
lives() {
  [ "$(cat /proc/sys/kernel/random/boot_id)" = "$3" ] &&
    [ "$(cat "/proc/$1/stat" 2>/dev/null | tr '\n' ' ' | sed 's/.*) //; /^[ZX]/d' | cut -d' ' -f20)" = "$2" ]
}
# Ask it to end, and make it after $4 seconds; $5 is how to be root
stop_process() {
  for signal in TERM KILL; do
    lives "$1" "$2" "$3" || return 0
    $5 kill -s $signal "$1" || :
    n=0
    while lives "$1" "$2" "$3" && [ $n -lt $(($4 * 10)) ]; do sleep 0.1; n=$((n + 1)); done
    set -- "$1" "$2" "$3" 10 "$5"
  done
  lives "$1" "$2" "$3" || return 0
  echo "pid $1 does not end" >&2
  exit 1
}
"#;

/// Root follows no link here and enters no mount.
const REMOVE_OWNED: &str = r#"
# Remove $2, a folder or file of a cluster, by $1: where it or the folder that
# it lies in is a link, or it is a mount, it stays
remove_owned() {
  if [ -L "$(dirname -- "$2")" ] || [ -L "$2" ] || mountpoint -q -- "$2"; then
    echo "$2 was left alone: it is a link or a mount" >&2
    exit 1
  fi
  $1 rm -rf --one-file-system -- "$2"
}
"#;

const REQUIRE_FILE: &str = r#"
# Go on only if $1 still has the contents that this was decided by
require_file() {
  [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ] || {
    echo "$1 was changed since this was decided" >&2
    exit 1
  }
}
"#;

/// The CNI plugin names its ends `veth` and 8 digits.
const REMOVE_BRIDGE: &str = r#"
# Take bridge $2 down by $1, unless something else than nodes is on it
remove_bridge() {
  ip link show dev "$2" >/dev/null 2>&1 || return 0
  if ip -oneline link show master "$2" | grep -vE '^[0-9]+: veth[0-9a-f]{8}@' >&2; then
    echo "bridge $2 was left alone: these are on it" >&2
    exit 1
  fi
  $1 ip link delete "$2" type bridge
}
"#;

/// Those that `plan` needs.
pub(super) fn needed(plan: &Plan) -> String {
    let as_root = |step: &&Step| step.privilege == Privilege::Root;
    let makes = |step: &Step| {
        matches!(
            step.action,
            Action::CreateDir { .. } | Action::WriteFile { .. }
        )
    };
    let stops = |step: &Step| matches!(step.action, Action::Stop { .. });
    let removes = |step: &Step| matches!(step.action, Action::RemoveOwned { .. });
    let requires = |step: &Step| {
        matches!(
            step.action,
            Action::RequireFile { .. } | Action::RemoveFile { .. }
        )
    };
    let lowers = |step: &Step| matches!(step.action, Action::RemoveBridge { .. });
    [
        (ROOT, plan.needs_root()),
        (MAKE_DIRS, plan.steps.iter().filter(as_root).any(makes)),
        (STOP, plan.steps.iter().any(stops)),
        (REMOVE_OWNED, plan.steps.iter().any(removes)),
        (REQUIRE_FILE, plan.steps.iter().any(requires)),
        (REMOVE_BRIDGE, plan.steps.iter().any(lowers)),
    ]
    .into_iter()
    .filter_map(|(function, is_needed)| is_needed.then_some(function))
    .collect()
}
