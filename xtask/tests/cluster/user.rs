//! Clusters of an unprivileged user with sudo: what root's steps make belongs to the user
//! afterwards, or is gone, also after a failure.

use super::{INVENTORY, in_lab::Lab, state};

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

# Zeros behind an archive change nothing that a kernel unpacks.
mkdir -p hack; cp _out/initramfs-amd64.xz _out/base
printf 'initramfs:\n\t@{ cat _out/base; head -c $$(cat hack/size) /dev/zero; } >_out/new && mv _out/new _out/initramfs-amd64.xz\n' >Makefile
printf 'FROM scratch AS initramfs\nCOPY hack/size /size\n' >Dockerfile
$x dev --json >rounds 2>said & dev=$!
said() { for i in $(seq 3000); do grep -q "$1" said && return; sleep 0.05; done; cat rounds said; false; }
said 'waiting for changes'
echo 8 >hack/size
said 'runs the init of this build'
kill -TERM $dev; code_of wait $dev; test $code = 130
grep -q '"ok":true,.*"round":1,' rounds || { cat rounds said; false; }
$x status >seen; grep -q 'talos-default *running' seen || { cat seen; false; }
none_of_root "dev"
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

/// Root's `talosctl cluster create` of the same name, in namespaces of its own.
const CREATION_IN_A_CONTAINER: &str = r"
cd /run; mkfifo input
setsid -f unshare --pid --net --fork --mount-proc \
  bash -c 'exec -a /x/talosctl tee cluster create dev' <>input >/dev/null 2>&1
until pgrep -f '[x]/talosctl cluster create' >/dev/null; do sleep 0.01; done
";

#[test]
fn root_leaves_nothing_in_the_home_of_a_user() {
    let Some(lab) = Lab::own_of_user("root_leaves_nothing_in_the_home_of_a_user") else {
        return;
    };
    let before = lab.sh(INVENTORY);
    lab.sh(CREATION_IN_A_CONTAINER);
    assert_eq!(state(&lab), "absent");
    lab.sh("pkill -f '[x]/talosctl cluster create'; cd /run && rm input cluster create dev");
    lab.user_sh(SCRIPT);
    assert_eq!(lab.sh(INVENTORY), before);
}
