#!/usr/bin/env bash
# Examines the host, builds and starts the stack, and waits until every service is healthy: `make deploy`, without GPUs `make deploy SIM=1`.
#
# Errors of `gateway doctor` stop it before anything is changed. The first start waits for the models' download too, which can take an hour.
# Run it again after a change of .env, of the code or of the Compose files: what has not changed is left running.
set -euo pipefail
cd "$(dirname "$0")/.."

files=() simulated=()
if [ -n "${SIM:-}" ]; then
  files=(-f docker-compose.yml -f compose.sim.yml)
  simulated=(--sim)
fi

.venv/bin/gateway doctor "${simulated[@]}"

# `--wait` takes the end of the one-shot `models` for a failure, so it is not among those waited for; the servers wait for it.
services=$(docker compose "${files[@]}" config --services | grep -vx models)
# shellcheck disable=SC2086 # several words are meant
docker compose "${files[@]}" up -d --build --wait $services

port=$(docker compose "${files[@]}" port nginx 443)
cat << EOF

Every service is healthy. Next:
  curl -k https://localhost:${port##*:}/ready                    # 200 when a chat server has its model
  grep ^GATEWAY_API_KEY= .env                      # the key that clients send
  docker compose ${files[*]} logs -f gateway    # a line for each request
  docker compose -f docker-compose.monitoring.yml up -d    # dashboards and alerts; with GPUs --profile gpu before up
After a change of .env: deploy/upgrade.sh${SIM:+ ${files[*]}} for the gateway, or make deploy${SIM:+ SIM=1} again; docker compose restart does not read it anew.
EOF
