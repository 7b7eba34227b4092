#!/usr/bin/env bash
# Makes a virtual environment for each peer of the benchmark, as bench/locks pins it, in $BENCH_PEERS (bench/.peers
# unless told otherwise), which git ignores. Every downloaded file is checked against a hash.
#   bench/install_peers.sh [vllm-router] [sglang-router] [litellm]      all three when none is named
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${BENCH_PEERS:-bench/.peers}
[ $# -gt 0 ] || set -- vllm-router sglang-router litellm

for peer in "$@"; do
  lock=bench/locks/$peer.lock
  [ -f "$lock" ] || {
    echo "install_peers: there is no $lock" >&2
    exit 1
  }
  if cmp -s "$lock" "$folder/$peer/installed-from"; then
    continue
  fi
  echo "install_peers: $peer into $folder/$peer"
  .venv/bin/uv venv --quiet --clear --python .venv/bin/python "$folder/$peer"
  .venv/bin/uv pip sync --quiet --python "$folder/$peer/bin/python" --require-hashes "$lock"
  cp "$lock" "$folder/$peer/installed-from"
done
