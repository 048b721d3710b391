#!/usr/bin/env bash
# Record the kinds of profiles that `record.sh` does not have, of load/ and of Go's own tools, into kinds/. Needs Go.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
kinds=$PWD/kinds
mkdir -p "$kinds"

GOEXPERIMENT=goroutineleakprofile go build -C load -trimpath -o "$work/load" .
LEAK=7 "$work/load" -listen 127.0.0.1:6161 -rounds 20 &
server=$!
get() { curl -fsS --retry 20 --retry-connrefused --retry-delay 1 "http://127.0.0.1:6161/debug/pprof/$1" -o "$2"; }

get heap "$work/warm"
# The change over a second.
for kind in heap allocs mutex block goroutine; do get "$kind?seconds=1" "$kinds/$kind-delta.pb.gz"; done
get goroutineleak "$kinds/goroutineleak.pb.gz"
get 'trace?seconds=1' "$work/trace"
for kind in net sync syscall sched; do go tool trace "-pprof=$kind" "$work/trace" >"$kinds/trace-$kind.pb.gz"; done
kill "$server"

# The compiler, and a test binary.
go build -gcflags="net/http=-cpuprofile=$work/compile" net/http
cp "$work/compile" "$kinds/compile.pb.gz"
go test -C load -trimpath -o "$work/test" -bench . -benchtime 100x -cpuprofile "$kinds/test-cpu.pb.gz" -memprofile "$kinds/test-mem.pb.gz" . >/dev/null
