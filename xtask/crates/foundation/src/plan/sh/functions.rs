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
    [
        (ROOT, plan.needs_root()),
        (MAKE_DIRS, plan.steps.iter().filter(as_root).any(makes)),
        (STOP, plan.steps.iter().any(stops)),
    ]
    .into_iter()
    .filter_map(|(function, is_needed)| is_needed.then_some(function))
    .collect()
}
