#!/usr/bin/env bash
# Ask `go tool pprof` about every profile here. Needs Go.
set -euo pipefail
cd "$(dirname "$0")"
export TZ=UTC PPROF_TMPDIR="${TMPDIR:-/tmp}"
rm -rf golden
mkdir golden
number=0

ask() {
  number=$((number + 1))
  local file
  file=$(printf 'golden/%03d.txt' "$number")
  { echo "$*"; go tool pprof -symbolize=none "$@" 2>/dev/null || true; } > "$file"
}

forms=(-top -tree "-peek=reconcile|main" -traces -raw -tags)
for profile in cpu heap allocs mutex block goroutine threadcreate; do
  for form in "${forms[@]}"; do
    ask "$form" "$profile.pb.gz"
  done
done
options=("-cum" "-nodecount=10" "-lines" "-filefunctions" "-addresses" "-noinlines" "-noinlines -addresses" "-sample_index=0" "-mean"
  "-focus=runtime" "-ignore=runtime" "-hide=runtime" "-show=main" "-show_from=main" "-prune_from=reconcile" "-hide=fib -focus=main"
  "-nodefraction=0" "-nodefraction=0.05" "-edgefraction=0.1" "-unit=ms" "-unit=B" "-divide_by=3" "-relative_percentages -focus=main"
  "-tagfocus=controller=Link" "-tagignore=network" "-tagroot=controller" "-tagleaf=area" "-showcolumns -lines" "-drop_negative")
for option in "${options[@]}"; do
  # shellcheck disable=SC2086 # several flags are several words
  ask -top $option cpu.pb.gz
done
for option in "-lines" "-focus=reconcile" "-hide=runtime" "-tagroot=controller" "-noinlines" "-edgefraction=0.1"; do
  for form in -tree -traces; do
    # shellcheck disable=SC2086
    ask $form $option cpu.pb.gz
  done
done
for option in "-mean" "-tagfocus=1kb:4kb" "-tagfocus=bytes=:2kb" "-tagroot=bytes" "-sample_index=alloc_objects" "-unit=MB"; do
  for form in -top "-peek=main" -tags; do
    # shellcheck disable=SC2086
    ask $form $option heap.pb.gz
  done
done
for option in "" "-cum" "-drop_negative" "-sample_index=alloc_space" "-normalize"; do
  for form in -top -tree -traces -raw; do
    # shellcheck disable=SC2086
    ask $form $option -base=heap-before.pb.gz heap.pb.gz
    # shellcheck disable=SC2086
    ask $form $option -diff_base=heap-before.pb.gz heap.pb.gz
  done
done
for form in "${forms[@]}"; do
  ask "$form" heap.pb.gz heap-before.pb.gz
  ask "$form" heap.pb.gz allocs.pb.gz heap-before.pb.gz
  ask "$form" -base=heap.pb.gz heap.pb.gz
done
# The source is that of load/, named as -trimpath names it.
for option in "" "-noinlines" "-focus=reconcile" "-sample_index=0" "-unit=ms" "-divide_by=3" "-tagfocus=controller=Link"; do
  # shellcheck disable=SC2086
  ask '-list=^main\.|no.such.file' $option cpu.pb.gz
done
for profile in heap mutex block goroutine; do ask '-list=main\.' "$profile.pb.gz"; done
for option in -base -diff_base; do ask '-list=main\.' "$option=heap-before.pb.gz" heap.pb.gz; done
ask '-list=nothing.like.it' cpu.pb.gz
# Addresses alone: pprof does not read the names that stand beside them.
for text in heap goroutine mutex block threadcreate; do
  for form in -top -traces -raw "-top -addresses"; do
    # shellcheck disable=SC2086
    ask $form "text/$text-debug1.txt"
  done
done
# The CPU profile with drop_frames and keep_frames of its own.
for question in "-top" "-tree" "-peek=reconcile|main" "-traces" "-top -cum -nodefraction=0" "-top -focus=reconcile" "-traces -hide=main.work"; do
  # shellcheck disable=SC2086
  ask $question drop.pb.gz
done
# Graphs for other tools.
for profile in cpu heap mutex goroutine; do
  ask -callgrind "$profile.pb.gz"
  ask -dot "$profile.pb.gz"
done
for option in "-nodecount=8" "-nodecount=20" "-edgefraction=0.05" "-focus=reconcile" "-lines" "-noinlines" "-nodefraction=0.05"; do
  # shellcheck disable=SC2086
  ask -dot $option cpu.pb.gz
done
for option in "-nodecount=5" "-sample_index=alloc_space -nodecount=12" "-base=heap-before.pb.gz"; do
  # shellcheck disable=SC2086
  ask -dot $option heap.pb.gz
done
echo "$number answers"
