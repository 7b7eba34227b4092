#!/usr/bin/env bash
# Makes loadtest/.venv with what requirements/loadtest.lock pins: Locust's gevent stays apart from everything else.
set -euo pipefail
cd "$(dirname "$0")"
stamp=.venv/installed-from
wanted=$({ ../.venv/bin/python -VV; cat ../requirements/loadtest.lock; } | sha256sum)
if [ "$(cat "$stamp" 2> /dev/null)" = "$wanted" ]; then
  exit 0
fi
echo "loadtest: installing Locust into loadtest/.venv"
../.venv/bin/python -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r ../requirements/loadtest.lock
echo "$wanted" > "$stamp"
