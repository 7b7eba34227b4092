#!/bin/sh
# Puts the units that are named into /etc/systemd/system, with this checkout's path in them: deploy/systemd/install.sh inference-gateway gateway-backup
# UNIT_DIR is another place for them. Nothing is enabled: the last lines say how.
set -eu
cd "$(dirname "$0")/.."
checkout=$(dirname "$PWD")
: "${UNIT_DIR:=/etc/systemd/system}"

[ $# -gt 0 ] || { echo "usage: install.sh UNIT ...   inference-gateway inference-monitoring gateway-backup idle-shutdown" >&2; exit 2; }
case $checkout in *[!A-Za-z0-9/._-]*) echo "systemd would misread the path $checkout: move the checkout" >&2; exit 1 ;; esac

for name in "$@"; do
  found=
  for unit in systemd/"$name".service systemd/"$name".timer idle-shutdown/"$name".service idle-shutdown/"$name".timer; do
    [ -f "$unit" ] || continue
    sed "s|/opt/inference-gateway|$checkout|g" "$unit" > "$UNIT_DIR/${unit##*/}"
    chmod 644 "$UNIT_DIR/${unit##*/}"
    found=${unit##*/}
  done
  [ -n "$found" ] || { echo "there is no unit $name" >&2; exit 1; }
  enable="${enable-} $found"
done
echo "now: systemctl daemon-reload && systemctl enable --now$enable"
