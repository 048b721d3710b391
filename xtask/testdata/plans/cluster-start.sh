#!/bin/sh
# start 2 node(s) and 4 helper(s) of cluster `lab`
(
set -eu
unset CDPATH

# As root, with HOME, PATH and what a step lists
root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else
    sudo -- env -i HOME="$HOME" PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" "$@"
  fi
}

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

# create the bridge
root ip link add name talosa51146d3 type bridge

# bring the bridge up
root ip link set dev talosa51146d3 mtu 1500 up

# give the bridge its address
root ip address add 172.29.213.1/24 dev talosa51146d3

# create Docker's chain, unless it exists
rc=0; root iptables -w -N DOCKER-USER || rc=$?; [ $rc = 0 ] || [ $rc = 1 ] || exit $rc

# let nodes reach each other where Docker filters bridges
root iptables -w -I DOCKER-USER 1 -i talosa51146d3 -o talosa51146d3 -j ACCEPT

# start dhcpd
launch 'root' HOME/talos HOME/.talos/clusters/lab/dhcpd.log HOME/.talos/clusters/lab/dhcpd.pid /dev/null \
  HOME/talos/_out/talosctl-linux-ARCH dhcpd-launch --state-path HOME/.talos/clusters/lab --addr 172.29.213.1 --interface talosa51146d3 --ipxe-next-handler ''

# start lb
launch 'root' HOME/talos HOME/.talos/clusters/lab/lb.log HOME/.talos/clusters/lab/lb.pid /dev/null \
  HOME/talos/_out/talosctl-linux-ARCH loadbalancer-launch --loadbalancer-addr 172.29.213.1 --loadbalancer-upstreams 172.29.213.2 --loadbalancer-ports 6443

# start dnsd
launch 'root' HOME/talos HOME/.talos/clusters/lab/dnsd.log HOME/.talos/clusters/lab/dnsd.pid /dev/null \
  HOME/talos/_out/talosctl-linux-ARCH dnsd-launch --addr 172.29.213.1 --resolv-conf /etc/resolv.conf

# start json-logs
launch 'root' HOME/talos HOME/.talos/clusters/lab/json-logs.log HOME/.talos/clusters/lab/json-logs.pid /dev/null \
  HOME/talos/_out/talosctl-linux-ARCH json-logs-launch --addr 172.29.213.1:4003

# start lab-controlplane-1
launch 'root' HOME/talos HOME/.talos/clusters/lab/lab-controlplane-1.log HOME/.talos/clusters/lab/lab-controlplane-1.pid HOME/.talos/clusters/lab/lab-controlplane-1.config \
  HOME/talos/_out/talosctl-linux-ARCH qemu-launch

# start lab-worker-1
launch 'root' HOME/talos HOME/.talos/clusters/lab/lab-worker-1.log HOME/.talos/clusters/lab/lab-worker-1.pid HOME/.talos/clusters/lab/lab-worker-1.config \
  HOME/talos/_out/talosctl-linux-ARCH qemu-launch
) </dev/null
