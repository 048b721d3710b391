#!/bin/sh
# Compiles policy.cil in the versions that secilc of Debian 12 writes, and the wider ones.
set -eu
cd "$(dirname "$0")"
for version in 30 31 32 33; do
	secilc -c $version -o policy.$version -f /dev/null policy.cil
done
secilc -c 33 -o wider.33 -f /dev/null policy.cil wider.cil
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
sed 's/^(handleunknown deny)/(handleunknown allow)/' policy.cil >"$work/policy.cil"
secilc -c 33 -o open.33 -f /dev/null "$work/policy.cil" open.cil
