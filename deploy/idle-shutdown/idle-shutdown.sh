#!/bin/sh
# Stops this host when its gateway says that no request has run for IDLE_AFTER, and in no other case. idle-shutdown.timer runs it; README.md
# explains it. Ends with 0 when the host stays on for a good reason or is stopped, and with 1 when nobody can tell: the unit is then `failed`.
set -eu

: "${IDLE_AFTER:=30m}"
: "${CONFIRM_SECS:=10}"
: "${STACK_DIR:=/opt/inference-gateway}"
: "${GATEWAY_COMMAND=docker compose --project-directory $STACK_DIR exec -T gateway gateway}"
: "${BUSY_COMMAND=docker compose --project-directory $STACK_DIR ps --quiet --status running models}"
: "${STOP_COMMAND=systemctl poweroff}"
: "${DRY_RUN=}"

stays() { printf 'stays on: %s\n' "$*"; exit 0; }
unknown() { printf 'stays on, and somebody should look: %s\n' "$*" >&2; exit 1; }

# Asks all gateways of this host; goes on only if they say, in so many words and by the status for it, that it is idle.
# The command is words to be split, and so is unquoted. What it says on standard error is for the journal.
ask() {
  status=0
  # shellcheck disable=SC2086
  answer=$($GATEWAY_COMMAND idle --for "$IDLE_AFTER" < /dev/null) || status=$?
  case "$status $answer" in
    "0 idle: "*) ;;
    4\ * | 5\ *) stays "$answer" ;;
    *) unknown "status $status, $answer" ;;
  esac
}

# Models may be fetched for longer than that, and no request runs meanwhile. A failure here is one there too.
if [ -n "$BUSY_COMMAND" ]; then
  # shellcheck disable=SC2086
  busy=$($BUSY_COMMAND < /dev/null 2> /dev/null) || busy=
  [ -z "$busy" ] || stays "models are being fetched"
fi

ask
sleep "$CONFIRM_SECS"
ask
if [ -n "$DRY_RUN" ]; then
  printf 'would stop (DRY_RUN is set): %s\n' "$answer"
  exit 0
fi
printf 'stops: %s\n' "$answer"
# shellcheck disable=SC2086
exec $STOP_COMMAND
