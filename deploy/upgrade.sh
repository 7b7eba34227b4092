#!/usr/bin/env bash
# Replaces the gateway's containers by such of a new image while they serve; no request is lost.
#
#   deploy/upgrade.sh                                             on the GPU host
#   deploy/upgrade.sh -f docker-compose.yml -f compose.sim.yml    what follows are options of `docker compose`
#
# Builds the image, starts as many new containers beside the old ones, waits until these are ready, and ends the old ones one by one: each refuses new
# connections at once, which nginx takes to another, and lets what runs end. Where a new one does not get ready the old ones go on, and the exit status
# is 1; so it is when somebody breaks it off, or Docker fails. One upgrade runs at a time. Without REDIS_URL the old and the new container each grant limits
# in full while both are there.
#
# In the environment: READY_SECS, how long a new container may take (120); GRACE_SECS, what running requests are given (150: longer than DRAIN_SECS).
set -euo pipefail
cd "$(dirname "$0")/.."
compose=(docker compose "$@")
ready_secs=${READY_SECS:-120}
grace_secs=${GRACE_SECS:-150}

containers() { "${compose[@]}" ps --quiet gateway; }
answers() { docker exec "$1" gateway healthcheck "http://127.0.0.1:9000$2" > /dev/null 2>&1; }

# comes_up CONTAINER PATH: whether it answers there before the time is over.
comes_up() {
  local until=$((SECONDS + ready_secs))
  until answers "$1" "$2"; do
    [ $SECONDS -lt $until ] && [ "$(docker inspect --format '{{.State.Status}}' "$1")" = running ] || return 1
    sleep 1
  done
}

# added: the containers that were not there when this began.
added() { containers | grep -vxFf <(printf '%s\n' "${old[@]}") || true; }

# However this ends: until the first of the old ones is ended the new ones go, or the next upgrade would take them for old ones, and there would be twice
# as many. Afterwards they serve, and what is left of the old ones is named.
phase=before
tidy() {
  local left
  case $phase in
    beside)
      mapfile -t left < <(added)
      [ ${#left[@]} -eq 0 ] || docker rm --force "${left[@]}" > /dev/null
      ;;
    ending)
      [ ${#old[@]} -eq 0 ] \
        || echo "upgrade: broken off; the new ones serve. To end the old ones: docker stop --time $grace_secs ${old[*]}; docker rm ${old[*]}" >&2
      ;;
  esac
}
trap tidy EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

exec {lock}< docker-compose.yml
flock --nonblock $lock || { echo "upgrade: another one is at work here" >&2; exit 1; }

GATEWAY_REVISION=${GATEWAY_REVISION:-$(git rev-parse --short HEAD 2> /dev/null || true)} "${compose[@]}" build gateway
# What was stopped, as by an upgrade that was broken off, Compose would start again instead of a new one, and it has the old image.
"${compose[@]}" rm --force gateway
mapfile -t old < <(containers)
if [ ${#old[@]} -eq 0 ]; then
  echo "upgrade: no gateway runs; start the stack with: ${compose[*]} up -d" >&2
  exit 1
fi
# A host whose models are all away would never be ready: then a gateway that answers will do.
path=/health
if answers "${old[0]}" /ready; then path=/ready; fi

echo "upgrade: ${#old[@]} of the new image beside ${#old[@]} of the old one"
phase=beside
"${compose[@]}" up --detach --no-deps --no-build --no-recreate --scale "gateway=$((2 * ${#old[@]}))" gateway
mapfile -t new < <(added)
if [ ${#new[@]} -ne ${#old[@]} ]; then
  echo "upgrade: Docker shows ${#new[@]} new gateways instead of ${#old[@]}; the old ones go on" >&2
  exit 1
fi
for container in "${new[@]}"; do
  comes_up "$container" $path && continue
  echo "upgrade: the new gateway does not answer at $path; the old one goes on. What the new one says:" >&2
  docker logs --tail 20 "$container" >&2
  exit 1
done

phase=ending
while [ ${#old[@]} -gt 0 ]; do
  echo "upgrade: ending $(docker inspect --format '{{.Name}}' "${old[0]}"); what runs there has up to $grace_secs s"
  docker stop --time "$grace_secs" "${old[0]}" > /dev/null
  docker rm "${old[0]}" > /dev/null
  old=("${old[@]:1}")
  # So long nginx may ask the address that nobody has any more (resolver, valid=2s): one at a time costs a request 2 s, three at once 6.
  sleep 3
done
phase=over
echo "upgrade: done"
