#!/usr/bin/env bash
# Stops exactly the processes that up.sh started: pid and start time must match. down.sh [NAME ...]
#   GRACE=30     seconds between SIGTERM and SIGKILL      VLLM_HOME   as for up.sh
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$HERE/lib.sh"
GRACE="${GRACE:-30}"

terminate() {
  local pid start
  read -r pid start < "$RUN_DIR/$1.pid"
  if is_still "$pid" "$start"; then kill -TERM "$pid"; fi
}

# An API server that was killed leaves its engine and workers behind as orphans.
kill_leftovers() {
  local pid start
  [ -f "$RUN_DIR/$1.children" ] || return 0
  while read -r pid start; do
    if is_still "$pid" "$start"; then say "$1: SIGKILL for the leftover child $pid"; kill -KILL "$pid"; fi
  done < "$RUN_DIR/$1.children"
}

await_exit() {
  local pid start deadline=$(($(date +%s) + GRACE))
  read -r pid start < "$RUN_DIR/$1.pid"
  while is_still "$pid" "$start" && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.2; done
  if is_still "$pid" "$start"; then say "$1: SIGKILL after $GRACE s"; kill -KILL "$pid"; sleep 0.5; fi
  kill_leftovers "$1"
  rm -f "$RUN_DIR/$1.pid" "$RUN_DIR/$1.children"
  say "$1: stopped (pid $pid)"
}

started=()
if [ $# -eq 0 ]; then
  for file in "$RUN_DIR"/*.pid; do
    if [ -f "$file" ]; then set -- "$@" "$(basename "$file" .pid)"; fi
  done
fi
for name in "$@"; do
  if [ -f "$RUN_DIR/$name.pid" ]; then started+=("$name"); else say "$name: not started from $VLLM_HOME"; fi
done
for name in "${started[@]}"; do terminate "$name"; done
for name in "${started[@]}"; do await_exit "$name"; done
