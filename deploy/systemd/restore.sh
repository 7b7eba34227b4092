#!/bin/sh
# Puts a file of backup.sh back: restore.sh FILE. The gateway must be stopped. What was written since the backup is lost: a key that was
# revoked since works again. PostgreSQL's are put back in one transaction, with libpq's own names as in backup.sh.
set -eu
umask 077

: "${STACK_DIR:=/opt/inference-gateway}"
# What runs a command in the gateway's place while it does not run; without Docker `env` does.
: "${IN_STOPPED_GATEWAY=docker compose --project-directory $STACK_DIR run --rm --no-deps -T --entrypoint env gateway}"
# Shows something while the gateway runs, or ends and begins again and again: `--status running` would leave that one out.
: "${RUNS_COMMAND=docker compose --project-directory $STACK_DIR ps --quiet gateway}"

if [ $# -ne 1 ] || [ ! -f "$1" ]; then
  echo "usage: restore.sh FILE" >&2
  exit 2
fi
if [ -n "$RUNS_COMMAND" ]; then
  # shellcheck disable=SC2086
  running=$($RUNS_COMMAND < /dev/null)
  [ -z "$running" ] || { echo "the gateway runs: stop it first (docker compose stop gateway)" >&2; exit 1; }
fi

case $1 in
  *.dump)
    # What --dbname would name is what libpq's own names say.
    pg_restore --clean --if-exists --single-transaction --exit-on-error --dbname="${PGDATABASE:?is not set}" "$1"
    ;;
  *.tar)
    listed=$(tar -tf "$1")
    printf '%s\n' "$listed" | grep -qx ./gateway.db || { echo "$1 is no backup" >&2; exit 1; }
    # The old files go only when the new ones are whole, and the start upgrades an older schema.
    # The command is words to be split; what stands in quotes expands there.
    # shellcheck disable=SC2016,SC2086
    $IN_STOPPED_GATEWAY sh -c '
      set -eu
      umask 077
      place=${DATA_PATH:-data}
      mkdir -p "$place"
      folder=$(mktemp -d "$place/restore.XXXXXX")
      trap "rm -rf \"$folder\"" EXIT
      tar -C "$folder" --no-same-owner -xf -
      [ -f "$folder/gateway.db" ]
      rm -f "$place"/gateway.db-wal "$place"/gateway.db-shm
      mv -f "$folder/gateway.db" "$place/gateway.db"
      if [ -f "$folder/gateway.db.key-hash.secret" ]; then mv -f "$folder/gateway.db.key-hash.secret" "$place/key-hash.secret"; fi
    ' < "$1"
    ;;
  *)
    echo "$1 is neither a .tar nor a .dump of backup.sh" >&2
    exit 1
    ;;
esac
echo "restored from $1; start the gateway"
