#!/usr/bin/env bash
# Records `go test -json` streams of the workspace beside, one per way to end, and what gotestsum counts in each
# (gotest.tools/gotestsum v1.13.0 on PATH, for comparison only). Run by hand when Go's output changes; needs a C compiler for -race.
set -uo pipefail
cd "$(dirname "$0")/../workspace" || exit 1
out=../streams
export CGO_ENABLED=1 GOFLAGS=-buildvcs=false

# record NAME [VAR=VALUE...] -- ARGS...
record() {
	local name=$1 env=()
	shift
	while [ "$1" != -- ]; do
		env+=("$1")
		shift
	done
	shift
	env "${env[@]}" go test -json "$@" >"$out/$name.json" 2>/dev/null
}

record passing -- ./ok ./sub/inner
record failing -- ./bad ./parallel ./ok
record looks-alike -- ./garbled -run TestPrintsBytes
record unbuilt -- ./unbuilt ./ok
record panic DIES=panic -- ./dies ./ok
record exit DIES=exit -- ./dies
record killed DIES=kill -- ./dies
record timeout SLOW=1h -- ./slow -timeout 1s
record race -- -race ./racy
record bench -- ./ok -run '^$' -bench . -benchtime 10x
record fuzz -- ./ok -run '^$' -fuzz FuzzNothing -fuzztime 20x
record twice -- ./bad -count 2
record none -- ./ok -run '^$'
# Our machine's folders are nobody's business.
sed -i "s|$(pwd)|/src|g; s|$(go env GOROOT)|/go|g" "$out"/*.json
# Cut in the middle of a line, as a full disk does.
head -c 1500 "$out/failing.json" >"$out/truncated.json"

for file in "$out"/*.json; do
	gotestsum --format none --raw-command cat "$file" 2>/dev/null | sed -n 's/^DONE \(.*\) in .*/\1/p' | tail -n 1 >"${file%.json}.gotestsum"
done
