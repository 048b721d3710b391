#!/bin/sh
# Records the `--help` that the version tests compare with, one file per verb:
#   testdata/help/record.sh PATH-TO-TALOSCTL VERSION      (VERSION e.g. 1.12.0)
# HOME is a fixed one so that no machine's path gets into a file. A verb that
# this talosctl does not have leaves no file: its absence is what is tested.
set -eu
talosctl=$1
out=$(dirname "$0")/$2
mkdir -p "$out"
rm -f "$out"/*.txt

record() {
    name=$1
    shift
    if text=$(env -i HOME=/home/dev PATH=/usr/bin:/bin "$talosctl" "$@" --help 2>/dev/null); then
        # cobra answers an unknown subcommand with its parent's help: only a
        # "Usage:" line of the asked verb counts.
        if printf '%s\n' "$text" | grep -q "^  talosctl $*\( \|\$\)"; then
            printf '%s\n' "$text" >"$out/$name.txt"
        fi
    fi
}

record cluster cluster
record cluster-create cluster create
record cluster-create-dev cluster create dev
record cluster-create-qemu cluster create qemu
record cluster-create-docker cluster create docker
record cluster-destroy cluster destroy
record cluster-show cluster show
record cluster-reboot cluster reboot
record cluster-logs cluster logs
record cluster-sync cluster sync
record debug debug
record debug-air-gapped debug air-gapped
record debug-tool debug-tool
record debug-tool-air-gapped debug-tool air-gapped
record image-cache-create image cache-create
record image-cache-cert-gen image cache-cert-gen
record image-cache-serve image cache-serve
