#!/usr/bin/env bash
# Makes a self-signed development pair, fullchain.pem and privkey.pem, for localhost, 127.0.0.1, ::1 and the names or addresses given.
#
#   certs/make-dev-cert.sh [--force] [NAME ...]
#
# CERTS_DIR, TLS_CERT and TLS_KEY say where, as for Compose: by default here. Nothing is overwritten without --force.
# Valid for 825 days, the most that Apple's clients accept. nginx sends no HSTS with it: it knows it by the file's first line.
set -euo pipefail

force=no
names=()
for argument in "$@"; do
  case "$argument" in
    --force) force=yes ;;
    -*) echo "unknown option $argument; usage: $0 [--force] [NAME ...]" >&2; exit 2 ;;
    *) names+=("$argument") ;;
  esac
done

dir="${CERTS_DIR:-$(cd "$(dirname "$0")" && pwd)}"
cert="$dir/${TLS_CERT:-fullchain.pem}" key="$dir/${TLS_KEY:-privkey.pem}"
for file in "$cert" "$key"; do
  if [[ -e "$file" && "$force" = no ]]; then
    echo "$file exists; --force replaces it" >&2
    exit 1
  fi
done

alternatives="DNS:localhost,IP:127.0.0.1,IP:::1"
for name in "${names[@]}"; do
  if [[ "$name" =~ ^[0-9.]+$ || "$name" == *:* ]]; then alternatives+=",IP:$name"; else alternatives+=",DNS:$name"; fi
done

umask 077
mkdir -p "$(dirname "$cert")" "$(dirname "$key")"
scratch=$(mktemp -d "$dir/.make-dev-cert.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 825 \
  -subj "/CN=${names[0]:-localhost}" \
  -addext "subjectAltName=$alternatives" \
  -addext "basicConstraints=critical,CA:TRUE" \
  -addext "keyUsage=critical,digitalSignature,keyCertSign" \
  -addext "extendedKeyUsage=serverAuth" \
  -keyout "$scratch/key" -out "$scratch/cert" 2> "$scratch/log" || { cat "$scratch/log" >&2; exit 1; }
{ echo "development certificate for $alternatives"; cat "$scratch/cert"; } > "$scratch/fullchain"
chmod 644 "$scratch/fullchain"
mv "$scratch/key" "$key"
mv "$scratch/fullchain" "$cert"
echo "made $cert and $key for $alternatives"
