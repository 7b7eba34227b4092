#!/usr/bin/env bash
# Runs the generated tests in rounds, each with a seed of its own, until SECS are over or a test fails: that round's
# seed and the example are then shown, and the example is tried first in the next run (.hypothesis).
# Usage: scripts/fuzz.sh SECS [PATH...]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
shift
[ $# -gt 0 ] || set -- tests/fuzz tests/streaming tests/upstream tests/server tests/payload
for ((round = 1; SECONDS < seconds; round++)); do
  seed=$((RANDOM * 32768 + RANDOM))
  echo "fuzz: round $round, seed $seed, ${SECONDS} s of $seconds"
  .venv/bin/python -m pytest -q -m hypothesis --timeout=0 --hypothesis-profile=long --hypothesis-seed=$seed "$@"
done
