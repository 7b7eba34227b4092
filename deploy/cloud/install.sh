#!/usr/bin/env bash
# Makes deploy/cloud/.venv with what requirements/cloud-tests.lock pins: boto3, and moto to try it on. Hosts that run the gateway need neither.
set -euo pipefail
cd "$(dirname "$0")"
stamp=.venv/installed-from
wanted=$({ ../../.venv/bin/python -VV; cat ../../requirements/cloud-tests.lock; } | sha256sum)
if [ "$(cat "$stamp" 2> /dev/null)" = "$wanted" ]; then
  exit 0
fi
echo "cloud: installing boto3 and moto into deploy/cloud/.venv"
../../.venv/bin/python -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r ../../requirements/cloud-tests.lock
echo "$wanted" > "$stamp"
