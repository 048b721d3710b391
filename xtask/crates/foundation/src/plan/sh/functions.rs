//! Shell functions at the head of a script; only those that a step needs.

use crate::plan::{Action, Plan, Privilege, Step};

/// Runs steps as root, with the same environment as in a run.
const ROOT: &str = r#"
# As root, with HOME, PATH and what a step lists
root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else
    sudo -- env -i HOME="$HOME" PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" "$@"
  fi
}
"#;

/// What root creates in a user's folder belongs to the user.
const MAKE_DIRS: &str = r#"
# As root: each new folder belongs to the owner of its parent
make_dirs() {
  [ ! -d "$1" ] || return 0
  make_dirs "$(dirname -- "$1")"
  root mkdir -- "$1"
  root chown --reference="$(dirname -- "$1")" -- "$1"
}
"#;

/// A process is identified by boot id, pid and start time, because a pid may be
/// reused.
const STOP: &str = r#"
# Whether pid $1, started at tick $2 of boot $3, is still running
is_running() {
  [ "$(cat /proc/sys/kernel/random/boot_id)" = "$3" ] &&
    [ "$(cat "/proc/$1/stat" 2>/dev/null | tr '\n' ' ' | sed 's/.*) //; /^[ZX]/d' | cut -d' ' -f20)" = "$2" ]
}
# Send it SIGTERM, and SIGKILL after $4 seconds; $5 becomes root
stop_process() {
  for signal in TERM KILL; do
    is_running "$1" "$2" "$3" || return 0
    $5 kill -s $signal "$1" || :
    n=0
    while is_running "$1" "$2" "$3" && [ $n -lt $(($4 * 10)) ]; do sleep 0.1; n=$((n + 1)); done
    set -- "$1" "$2" "$3" 10 "$5"
  done
  is_running "$1" "$2" "$3" || return 0
  echo "pid $1 does not exit" >&2
  exit 1
}
"#;

/// Root does not follow links or enter mounts here.
const REMOVE_OWNED: &str = r#"
# Remove $2, a folder or file of a cluster, as root by $1, unless it is a
# link, a mount, or in a folder that is a link
remove_owned() {
  if [ -L "$(dirname -- "$2")" ] || [ -L "$2" ] || mountpoint -q -- "$2"; then
    echo "$2 was not removed: it is a link or a mount" >&2
    exit 1
  fi
  $1 rm -rf --one-file-system -- "$2"
}
"#;

const REQUIRE_FILE: &str = r#"
# Stop unless $1 has the contents that the plan was made for
require_file() {
  [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ] || {
    echo "$1 has changed since the plan was made" >&2
    exit 1
  }
}
"#;

/// The CNI plugin names its interfaces `veth` and 8 digits.
const REMOVE_BRIDGE: &str = r#"
# Remove bridge $2 as root by $1, unless a foreign interface is attached
remove_bridge() {
  ip link show dev "$2" >/dev/null 2>&1 || return 0
  if ip -oneline link show master "$2" | grep -vE '^[0-9]+: veth[0-9a-f]{8}@' >&2; then
    echo "bridge $2 was not removed: these interfaces are attached" >&2
    exit 1
  fi
  $1 ip link delete "$2" type bridge
}
"#;

/// talosctl's processes run in sessions of their own.
const LAUNCH: &str = r#"
# Start a process in the background, as root by $1, in folder $2, with log $3,
# pid file $4 and standard input $5
launch() {
  by=$1
  shift
  $by sh -c 'cd -- "$1" || exit 1
    log=$2 pid=$3 input=$4
    shift 4
    setsid "$@" <"$input" >>"$log" 2>&1 &
    printf %s $! >"$pid"' launch "$@"
}
"#;

const UNTIL_HALTED: &str = r#"
# Wait up to $1 seconds until the consoles of all guests show that they halted
until_halted() {
  n=$(($1 * 5))
  shift
  for console in "$@"; do
    until tail -n 20 -- "$console" | grep -qE 'reboot: (System halted|Power down)'; do
      n=$((n - 1))
      [ $n -gt 0 ] || return 0
      sleep 0.2
    done
  done
}
"#;

/// Returns the functions that `plan` needs.
pub(super) fn needed(plan: &Plan) -> String {
    let as_root = |step: &&Step| step.privilege == Privilege::Root;
    let makes = |step: &Step| {
        matches!(
            step.action,
            Action::CreateDir { .. } | Action::WriteFile { .. }
        )
    };
    let stops = |step: &Step| matches!(step.action, Action::Stop { .. });
    let removes = |step: &Step| {
        matches!(
            step.action,
            Action::RemoveOwned { .. } | Action::RemoveAllOwned { .. }
        )
    };
    let requires = |step: &Step| {
        matches!(
            step.action,
            Action::RequireFile { .. } | Action::RemoveFile { .. } | Action::CopyFile { .. }
        )
    };
    let launches = |step: &Step| matches!(step.action, Action::Launch(_));
    let halts = |step: &Step| matches!(step.action, Action::ShutDown { .. });
    let lowers = |step: &Step| matches!(step.action, Action::RemoveBridge { .. });
    [
        (ROOT, plan.needs_root()),
        (MAKE_DIRS, plan.steps.iter().filter(as_root).any(makes)),
        (STOP, plan.steps.iter().any(stops)),
        (REMOVE_OWNED, plan.steps.iter().any(removes)),
        (REQUIRE_FILE, plan.steps.iter().any(requires)),
        (LAUNCH, plan.steps.iter().any(launches)),
        (UNTIL_HALTED, plan.steps.iter().any(halts)),
        (REMOVE_BRIDGE, plan.steps.iter().any(lowers)),
    ]
    .into_iter()
    .filter_map(|(function, is_needed)| is_needed.then_some(function))
    .collect()
}
