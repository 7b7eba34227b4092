#!/bin/sh
# Writes one file with the gateway's database and the secret of its keys' hashes into BACKUP_DIR, and keeps the BACKUP_KEEP newest.
# With BACKUP_POSTGRES=yes it is pg_dump's, which libpq's own names (PGHOST, PGDATABASE, PGUSER, PGPASSFILE ...) tell where; no password stands
# on a command line, and IN_POSTGRES runs it elsewhere, as in Compose's own server. docs/data.md has the way back, restore.sh. It ends with 0 only when the new file was read again.
set -eu
umask 077

: "${BACKUP_DIR:=/var/backups/inference-gateway}"
: "${BACKUP_KEEP:=14}"
: "${BACKUP_POSTGRES=}"
: "${STACK_DIR:=/opt/inference-gateway}"
# What runs a command where the gateway is; without Docker `env` does.
: "${IN_GATEWAY=docker compose --project-directory $STACK_DIR exec -T gateway}"
# What runs pg_dump, if it is not this host: Compose's server, which publishes no port, is
# docker compose --project-directory $STACK_DIR exec -T -u postgres -e PGUSER=gateway -e PGDATABASE=gateway postgres
: "${IN_POSTGRES=}"

# A zero in front would be octal to some shells, and 00 would keep none.
case $BACKUP_KEEP in '' | *[!0-9]* | 0*) echo "BACKUP_KEEP is a number from 1 on" >&2; exit 2 ;; esac
mkdir -p "$BACKUP_DIR"
name=$BACKUP_DIR/gateway-$(date -u +%Y-%m-%dT%H%M%SZ)
part=$name.part
trap 'rm -f "$part"' EXIT

if [ "$BACKUP_POSTGRES" = yes ]; then
  whole=$name.dump
  # shellcheck disable=SC2086 # words to be split
  $IN_POSTGRES pg_dump --format=custom > "$part" < /dev/null
  # shellcheck disable=SC2086
  $IN_POSTGRES pg_restore --list < "$part" > /dev/null
else
  whole=$name.tar
  # The command is words to be split; what stands in quotes expands there.
  # shellcheck disable=SC2016,SC2086
  $IN_GATEWAY sh -c '
    set -eu
    umask 077
    folder=$(mktemp -d "${DATA_PATH:-data}/backup.XXXXXX")
    trap "rm -rf \"$folder\"" EXIT
    gateway db backup "$folder/gateway.db" >&2
    tar -C "$folder" -cf - .
  ' < /dev/null > "$part"
  # Not in a pipe, which would drop that tar found it cut off.
  listed=$(tar -tf "$part")
  printf '%s\n' "$listed" | grep -qx ./gateway.db
fi
# Never over another one: that of the same second is whole.
ln "$part" "$whole"
sync "$whole"
printf '%s: %s bytes\n' "$whole" "$(wc -c < "$whole")"

find "$BACKUP_DIR" -maxdepth 1 -type f \( -name 'gateway-*Z.tar' -o -name 'gateway-*Z.dump' \) | sort -r \
  | tail -n "+$((BACKUP_KEEP + 1))" | while IFS= read -r old; do rm -f -- "$old"; done
