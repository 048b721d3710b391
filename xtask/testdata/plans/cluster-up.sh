#!/bin/sh
# cluster `talos-default`: 1 control plane(s) and 1 worker(s) on 172.29.213.0/24, talosctl v1.12.1
(
set -eu
unset CDPATH

# As root, with HOME, PATH and what a step lists
root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else
    sudo -- env -i HOME="$HOME" PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" "$@"
  fi
}

# create the folder first, because talosctl runs as root
mkdir -p -- HOME/.talos/clusters

# create the folder first, because talosctl runs as root
mkdir -p -- HOME/.talos/cni/bin

# create the folder first, because talosctl runs as root
mkdir -p -- HOME/.talos/cni/conf.d

# create the folder first, because talosctl runs as root
mkdir -p -- HOME/.talos/cni/cache/results

# create the cluster's own talosconfig as you
mkdir -p -- HOME/.local/state/talos-xtask/clusters/talos-default
[ ! -d HOME/.local/state/talos-xtask/clusters/talos-default/talosconfig ] || { echo "this is a folder:" HOME/.local/state/talos-xtask/clusters/talos-default/talosconfig >&2; exit 1; }
new=$(mktemp -- HOME/.local/state/talos-xtask/clusters/talos-default/.tmp-XXXXXX)
printf %s 'context: ""
contexts: {}
' | tee -- "$new" >/dev/null
chmod 600 -- "$new"
mv -- "$new" HOME/.local/state/talos-xtask/clusters/talos-default/talosconfig

# create the cluster's own kubeconfig as you
mkdir -p -- HOME/.local/state/talos-xtask/clusters/talos-default
[ ! -d HOME/.local/state/talos-xtask/clusters/talos-default/kubeconfig ] || { echo "this is a folder:" HOME/.local/state/talos-xtask/clusters/talos-default/kubeconfig >&2; exit 1; }
new=$(mktemp -- HOME/.local/state/talos-xtask/clusters/talos-default/.tmp-XXXXXX)
printf %s 'apiVersion: v1
kind: Config
' | tee -- "$new" >/dev/null
chmod 600 -- "$new"
mv -- "$new" HOME/.local/state/talos-xtask/clusters/talos-default/kubeconfig

# create the cluster and wait for it
( cd -- HOME/talos || exit 1; root env KUBECONFIG=HOME/.local/state/talos-xtask/clusters/talos-default/kubeconfig HOME/talos/_out/talosctl-linux-ARCH cluster create dev --name=talos-default --cidr=172.29.213.0/24 --controlplanes=1 --workers=1 --vmlinuz-path=HOME/talos/_out/vmlinuz-ARCH --initrd-path=HOME/talos/_out/initramfs-ARCH.xz --with-bootloader=false --talosconfig=HOME/.local/state/talos-xtask/clusters/talos-default/talosconfig )

# give back to you what talosctl downloaded
rc=0; root chown -R --from=0:0 --silent UID:GID HOME/.talos/cni HOME/.talos/cache || rc=$?; [ $rc = 0 ] || [ $rc = 1 ] || exit $rc

# create a folder for PATH
mkdir -p -- HOME/.local/state/talos-xtask/clusters/talos-default/bin

# link talosctl for `cluster env`
ln -sfn HOME/talos/_out/talosctl-linux-ARCH HOME/.local/state/talos-xtask/clusters/talos-default/bin/talosctl

# select the first control plane by default
HOME/talos/_out/talosctl-linux-ARCH config nodes 172.29.213.2 --talosconfig=HOME/.local/state/talos-xtask/clusters/talos-default/talosconfig
) </dev/null
