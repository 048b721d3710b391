#!/bin/sh
# Tests of tc-redirect-tap, straight in network namespaces: ADD, CHECK, DEL, roll-back, ADD twice, errors, and frames that
# really cross. No QEMU. Everything happens in a network and a mount namespace of its own, which end with this script.
# Prints `N passed, N failed`; exit 1 if one failed.
set -u

if [ "${1:-}" != inside ]; then
	exec unshare --net --mount "$0" inside
fi
here=$(cd "$(dirname "$0")" && pwd)
plugin=$here/tc-redirect-tap
passed=0
failed=0
mount -t tmpfs none /run && mkdir /run/n && cd /run/n || exit 1

ok() { # ok NAME COMMAND...: the command must succeed
	name=$1
	shift
	if "$@" >/run/n/said 2>&1; then passed=$((passed + 1)); else
		failed=$((failed + 1))
		echo "failed: $name" >&2
		sed 's/^/  /' /run/n/said >&2
	fi
}
no() { ! "$@"; }
says() { expr "$(cat out)" : ".*$1" >/dev/null || { cat out; return 1; }; }
in_a() { nsenter --net=/run/n/a "$@"; }

# A namespace `a` as the bridge plugin leaves it: veth0 inside, its peer outside.
setup() {
	touch a && unshare --net=/run/n/a ip link set lo up &&
		ip link add vethx mtu 1400 type veth peer name veth0 mtu 1400 address 02:00:00:00:00:01 netns /run/n/a && ip link set vethx up &&
		in_a ip link set veth0 up
}
teardown() { ip link del vethx && umount a; }

config() { # config VERSION: stdin of ADD, as the plugin before this one would hand it over
	cat <<-JSON
		{"cniVersion":"$1","name":"x","type":"tc-redirect-tap","prevResult":{"cniVersion":"$1",
		"interfaces":[{"name":"talosx","mac":"02:00:00:00:00:99"},{"name":"vethx","mac":"02:00:00:00:00:98"},
		{"name":"veth0","mac":"02:00:00:00:00:01","sandbox":"/run/n/a"}],
		"ips":[{"version":"4","interface":2,"address":"10.0.0.2/24","gateway":"10.0.0.1"}],"routes":[{"dst":"0.0.0.0/0"}]}}
	JSON
}
call() { # call COMMAND VERSION: stdout goes to `out`
	config "$2" | CNI_COMMAND=$1 CNI_CONTAINERID=id1 CNI_NETNS=/run/n/a CNI_IFNAME=veth0 CNI_PATH=/x "$plugin" >out
}
shape() { # what talosctl takes out of the result, in one line
	[ "$(jq -r '[.cniVersion, (.interfaces | length), .interfaces[3].name, .interfaces[3].sandbox, .interfaces[4].name,
		.interfaces[4].sandbox, .interfaces[4].mac, .ips[0].interface] | join(" ")' out)" = "$1 5 tap0 /run/n/a tap0 id1 02:00:00:00:00:01 4" ] ||
		{ cat out; return 1; }
}

setup || exit 1
ok "DEL before any ADD" call DEL 0.4.0
ok "ADD" call ADD 0.4.0
cp out first
ok "the result is what talosctl reads" shape 0.4.0
ok "the reported MAC of the tap is the tap's" sh -c 'nsenter --net=/run/n/a ip link show tap0 | grep -q "$(jq -r ".interfaces[3].mac" out)"'
ok "the tap has the veth's MTU" sh -c 'nsenter --net=/run/n/a ip link show tap0 | grep -q "mtu 1400"'
ok "no tap outside the namespace" no ip link show tap0

# CHECK gets the whole result back as prevResult.
check() { jq '{cniVersion, name: "x", type: "t", prevResult: .}' "$1" |
	CNI_COMMAND=CHECK CNI_CONTAINERID=id1 CNI_NETNS=/run/n/a CNI_IFNAME=veth0 "$plugin" >out; }
ok "CHECK" check first
ok "CHECK misses the pair in prevResult" no call CHECK 0.4.0

ok "a second ADD fails" no call ADD 0.4.0
ok "and says why" says '"code":100,"msg":"tc-redirect-tap: .*busy'
ok "and leaves the first tap alone" check first

# An ARP request from outside must be redirected: the filter's own counter says so.
frames() { in_a tc -s filter show dev veth0 parent ffff: | sed -n 's/.*Sent [0-9]* bytes \([0-9]*\) pkt.*/\1/p'; }
cross() {
	before=$(frames)
	ip addr add 10.0.0.1/24 dev vethx && bash -c 'echo x >/dev/udp/10.0.0.2/9'
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(frames)" -gt "$before" ] && return 0
		sleep 0.05
	done
	echo "the redirect from veth0 saw $before frames before and $(frames) after"
	return 1
}
ok "a frame crosses from the veth to the tap" cross

in_a tc filter del dev veth0 parent ffff:
ok "CHECK finds a missing redirect" no check first
ok "and names it" says "no redirect from veth0 to tap0"
ok "DEL" call DEL 0.4.0
ok "DEL took the tap" no in_a ip link show tap0
ok "DEL took the qdisc" no sh -c 'nsenter --net=/run/n/a tc qdisc show dev veth0 | grep -q ingress'
ok "CHECK finds a missing tap" no check first
ok "DEL again" call DEL 0.4.0

# Roll-back: veth0 already has an ingress qdisc, so the first redirect cannot be made.
in_a tc qdisc add dev veth0 ingress
ok "ADD fails half way" no call ADD 0.4.0
ok "and takes its tap back" no in_a ip link show tap0
in_a tc qdisc del dev veth0 ingress 2>/dev/null
for v in 0.3.0 0.3.1; do
	ok "ADD in $v" call ADD $v
	ok "the result in $v" shape $v
	ok "DEL in $v" call DEL $v
done
ok "an unknown version is refused" no call ADD 9.9.9
ok "with code 1" says '"code":1,.*9.9.9'
teardown || exit 1
ok "DEL without a namespace" call DEL 0.4.0
ok "DEL with an empty CNI_NETNS" env CNI_COMMAND=DEL CNI_NETNS= CNI_CONTAINERID=id1 CNI_IFNAME=veth0 "$plugin"
ok "ADD without a namespace fails" no call ADD 0.4.0
ok "VERSION" sh -c "CNI_COMMAND=VERSION '$plugin' | jq -e '.supportedVersions | length == 3'"
ok "an unknown command fails" no env CNI_COMMAND=NONE "$plugin"
broken() { echo '{' | CNI_COMMAND=ADD CNI_CONTAINERID=id1 CNI_NETNS=/run/n/a CNI_IFNAME=veth0 "$plugin" >out; }
ok "broken JSON is refused" no broken

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
