# Where do the real servers live, and is this still the process that was started? Sourced by up.sh and down.sh.
# shellcheck shell=bash

VLLM_HOME="${VLLM_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/inference-gateway/real-vllm}"
RUN_DIR="$VLLM_HOME/run"
LOG_DIR="$VLLM_HOME/logs"
export VLLM_HOME RUN_DIR LOG_DIR

# A process's start time in clock ticks since boot. A pid alone may have been given to a stranger since it was written down.
start_time() {
  awk '{ sub(/^.*\) /, ""); print $20 }' "/proc/$1/stat" 2> /dev/null
}

# is_still PID START_TIME
is_still() {
  [ -n "${2:-}" ] && [ "$(start_time "$1")" = "$2" ]
}

descendants() {
  local children child
  read -ra children <<< "$(cat "/proc/$1/task/"*/children 2> /dev/null | tr '\n' ' ')"
  for child in "${children[@]}"; do
    echo "$child"
    descendants "$child"
  done
}

say() { echo "[$(date +%H:%M:%S)] $*"; }
