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
mkdir -p -- HOME/.talos/cni/cache/results

# create the cluster and wait for it
( cd -- HOME/talos || exit 1; root HOME/talos/_out/talosctl-linux-ARCH cluster create dev --name=talos-default --cidr=172.29.213.0/24 --controlplanes=1 --workers=1 --vmlinuz-path=HOME/talos/_out/vmlinuz-ARCH --initrd-path=HOME/talos/_out/initramfs-ARCH.xz --with-bootloader=false )

# give talosconfig and kubeconfig back to you
rc=0; root chown --from=0:0 --silent UID:GID HOME/.talos/config HOME/.kube HOME/.kube/config || rc=$?; [ $rc = 0 ] || [ $rc = 1 ] || exit $rc
) </dev/null
