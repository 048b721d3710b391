//! Clusters of an unprivileged user with sudo: what root's steps make belongs to the user
//! afterwards, or is gone, also after a failure.

use std::fmt::Write;

use super::common::skip;
use super::common::user::{MAKE_USER, MAY};
use super::faults::{BRIDGE, FAULTS, PID};
use super::{INVENTORY, XTASK, in_lab::Lab};

const BEFORE: &str = r"
set -e
root=$(mktemp -d /tmp/xu-XXXX); chmod 0755 $root
trap 'rm -rf $root' EXIT
etc=$root/etc home=$root/h; mkdir $etc $home
";
/// Becomes the user, in the lab's network and with a checkout of its own.
const BECOME: &str = r#"
cp -aL "$HOME/talos" $root/h/
cd $root/h; touch xtask; mount --bind "$XTASK" xtask
chown -R 64123:64123 talos; chown 64123:64123 .
cd talos
setpriv --reuid 64123 --regid 64123 --clear-groups \
  env -i HOME=$root/h PATH="$PATH" XTASK_INSIDE_LAB=shell sh -c "$SCRIPT"
umount $root/h/xtask
"#;

/// Commands of the user; the checks are about files of root in the user's home.
const SCRIPT: &str = r#"
set -e
x=$HOME/xtask
# A running cluster's own folders are root's.
root_files() { find $HOME -uid 0 ! -path $x ! -path "$HOME/.talos/clusters/*" ! -path "$HOME/.talos/cni/cache/results/*"; }
none_of_root() { left=$(root_files); echo "$1, files of root: $left"; test -z "$left"; }
code_of() { code=0; "$@" || code=$?; }

$x cluster up --workers 0
$x cluster status
none_of_root "cluster up"
test -s $HOME/.local/state/talos-xtask/clusters/talos-default/talosconfig
$x talosctl -- version
$x cluster explain
code_of $x cluster up --workers 2; test $code = 3
$x cluster reboot --all
$x cluster destroy --yes
none_of_root "cluster destroy"
test -z "$(ls $HOME/.talos/clusters)"

echo '{"machine":{"files":[{"path":"/etc/x","op":"create","permissions":420,"content":"x"}]}}' >p.yaml
code_of $x cluster up --workers 0 --config-patch @p.yaml; test $code = 5
none_of_root "a creation that fails"
$x cluster destroy --yes
none_of_root "cluster destroy after it"

$x cluster up --workers 0 & up=$!
until ls $HOME/.talos/clusters/talos-default/*-1.log >/dev/null 2>&1; do sleep 0.05; done
kill -TERM $up; code_of wait $up; test $code = 130
none_of_root "a creation that is interrupted"
code_of $x cluster status; test $code = 1
test -z "$(ls $HOME/.talos/clusters)"
test ! -e $HOME/.talos/config && test ! -e $HOME/.kube/config
"#;

/// The faults are made with sudo; the commands are the user's own.
const FAULTS_SCRIPT: &str = r#"
set -e
x=$HOME/xtask
as_root() { sudo env HOME=$HOME PATH="$PATH" sh -c "$PID$BRIDGE$1"; }
# named COMMAND FILTER ID WORDS: its exit code is 1 and it names that cause first, with a hint
named() {
  code=0; $x cluster $1 --json >report || code=$?
  first=$(jq -r "$2 | .id, .hint, .what" report)
  echo "as a user, $1: exit $code:" $first
  test $code = 1
  test "$(echo "$first" | head -n 1)" = "$3"
  test "$(echo "$first" | sed -n 2p)" != null
  echo "$first" | grep -qF -- "$4"
}
mkdir -p $HOME/.talos
as_root "mount -t tmpfs -o size=700m,uid=64123,gid=64123,mode=0755 tmpfs $HOME/.talos"
$x cluster up
for number in $(seq "$COUNT"); do
  eval "inject=\$inject_$number undo=\$undo_$number id=\$id_$number words=\$words_$number"
  as_root "$inject"
  # Without root, `status` asks sudo for the packet filters only when nodes do not answer.
  if [ "$id" = firewall ] && $x cluster status >/dev/null; then
    echo "status: exit 0: the nodes answer"
  else
    named status ".faults[0]" "$id" "$words"
  fi
  named explain .cause "$id" "$words"
  as_root "$undo"
  $x cluster status
done
$x cluster destroy --yes
as_root "umount $HOME/.talos"
"#;

/// Returns what the commands print; nothing where the test cannot run.
fn as_user(test: &str, variables: &str, commands: &str) -> String {
    let Some(lab) = Lab::own(test) else {
        return String::new();
    };
    let missing = ["sudo", "setpriv", "unshare"]
        .into_iter()
        .find(|name| foundation::ctx::host::Host::which(name).is_none());
    if let Some(missing) = missing {
        skip(test, &format!("`{missing}` is missing"));
        return String::new();
    }
    let before = lab.sh(INVENTORY);
    let said = lab.sh(&format!(
        "export XTASK={XTASK} SUDOERS={} SCRIPT={}; \
         unshare --mount --propagation private sh -c {} >~/said 2>&1 || {{ cat ~/said >&2; exit 1; }}; cat ~/said",
        quoted(MAY),
        quoted(&[variables, commands].concat()),
        quoted(&[BEFORE, MAKE_USER, BECOME].concat())
    ));
    assert_eq!(lab.sh(INVENTORY), before);
    said
}

fn quoted(text: &str) -> String {
    shlex::try_quote(text).unwrap().into_owned()
}

#[test]
fn root_leaves_nothing_in_the_home_of_a_user() {
    as_user("root_leaves_nothing_in_the_home_of_a_user", "", SCRIPT);
}

#[test]
#[expect(
    clippy::disallowed_macros,
    reason = "the table of `scripts/cluster-faults`"
)]
fn faults_are_named_first_to_a_user() {
    let mut variables = format!(
        "PID={} BRIDGE={} COUNT={}\n",
        quoted(PID),
        quoted(BRIDGE),
        FAULTS.len()
    );
    for (number, fault) in (1..).zip(FAULTS) {
        let (id, words) = fault.cause;
        for (name, text) in [
            ("inject", fault.inject),
            ("undo", fault.undo),
            ("id", id),
            ("words", words),
        ] {
            let _ = writeln!(variables, "{name}_{number}={}", quoted(text));
        }
    }
    let said = as_user(
        "faults_are_named_first_to_a_user",
        &variables,
        FAULTS_SCRIPT,
    );
    for line in said.lines().filter(|line| line.starts_with("as a user")) {
        println!("{line}");
    }
}
