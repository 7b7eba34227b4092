#!/usr/bin/env bash
# Makes .venv with everything that requirements/dev.lock pins, and the project itself; quick when nothing has changed.
# Every downloaded file is checked against a hash. PYTHON names another interpreter (3.11 or newer).
#
# The distribution's interpreter goes before others on the PATH: Debian's and its kin are built with profile-guided
# optimization, which takes an eighth of a request's CPU time off against a plain build of the same version (bench/NOTES.md).
set -euo pipefail
cd "$(dirname "$0")/.."

fit() { "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; }
fit /usr/bin/python3 && usual=/usr/bin/python3 || usual=python3
python=${PYTHON:-$usual}
stamp=.venv/installed-from

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "install: Python 3.11 or newer is needed, and $python is not; PYTHON=/path/to/python3.11 make install" >&2
  exit 1
}
wanted=$({ "$python" -VV; cat pyproject.toml requirements/{uv,dev,dashboards}.lock; } | sha256sum)
if [ -x .venv/bin/gateway ] && [ "$(cat "$stamp" 2> /dev/null)" = "$wanted" ]; then
  exit 0
fi

echo "install: the tools and libraries of requirements/{dev,dashboards}.lock into .venv (about a minute the first time)"
rm -f "$stamp"
if ! .venv/bin/python -c 'import pip' 2> /dev/null; then
  "$python" -m venv .venv || {
    rm -rf .venv
    echo "install: python3 cannot make virtual environments; on Debian: apt-get install python3-venv" >&2
    exit 1
  }
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
.venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes --allow-empty-requirements \
  requirements/{uv,dev,dashboards}.lock
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
echo "$wanted" > "$stamp"
echo "install: done, .venv/bin/gateway is the command"
