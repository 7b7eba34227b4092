#!/bin/sh
# What runs in the nginx container: checks the settings, renders nginx.conf, tests it, becomes nginx.
#
#   entrypoint.sh            render, test, run in the foreground
#   entrypoint.sh check      render and test only
#
# POSIX sh and awk alone, so that it is the same on Alpine, on Debian and outside a container.
# A wrong setting stops the start with one line that names it: a value never becomes a directive.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)

# setting NAME DEFAULT PATTERN: takes the environment's value or the default, and insists on the form.
setting() {
    eval "value=\${$1:-}"
    [ -n "$value" ] || value=$2
    case $value in
    *"
"*) wrong "$1" "$value" "$3" ;;
    esac
    printf '%s' "$value" | grep -Eqx -- "$3" || wrong "$1" "$value" "$3"
    eval "$1=\$value"
    export "${1?}"
}

wrong() {
    printf 'nginx: %s=%s is not of the form %s\n' "$1" "$2" "$3" >&2
    exit 2
}

TIME='[0-9]+(ms|s|m|h)'
ENDPOINT='([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):[0-9]+'
FILE='[A-Za-z0-9._/+@-]+'
ADDRESS='[0-9A-Fa-f:.]+(/[0-9]+)?'
LISTEN='([0-9.]+|\[[0-9A-Fa-f:]*\])'

# The gateway's request port and its metrics port; a name is resolved again every 2 s, so that a scaled gateway is followed.
setting GATEWAY_UPSTREAM gateway:9000 "$ENDPOINT"
setting GATEWAY_METRICS_UPSTREAM gateway:9100 "$ENDPOINT"
# Bytes of a request body: the gateway reads the same name.
setting MAX_REQUEST_BODY_BYTES 10485760 '[1-9][0-9]*'
# The certificates' folder and the names in it. The folder is mounted, not the files: a renewed file is a new inode.
setting NGINX_CERTS_DIR /etc/nginx/certs "$FILE"
setting TLS_CERT fullchain.pem "$FILE"
setting TLS_KEY privkey.pem "$FILE"
# Seconds a browser remembers to use HTTPS only, 0 for off; always off with a development certificate.
setting HSTS_SECONDS 63072000 '[0-9]+'
# The port that clients see in redirects, where it is not the one nginx listens on (Compose publishes HTTPS_PORT).
setting HTTPS_PORT 443 '[0-9]+'
# Addresses or networks, separated by blanks, that see /metrics and /admin.
setting NGINX_OPERATORS '127.0.0.1 ::1' "$ADDRESS( $ADDRESS)*"
# Requests in flight per client address, of IPv6 per /64; over it 429.
setting NGINX_CONNECTIONS_PER_ADDRESS 1000 '[1-9][0-9]*'
# How long a client may take: its request head, between two reads of its body, between two writes it takes.
setting NGINX_CLIENT_HEADER_TIMEOUT 10s "$TIME"
setting NGINX_CLIENT_BODY_TIMEOUT 15s "$TIME"
setting NGINX_SEND_TIMEOUT 180s "$TIME"
# Addresses and ports to listen on, inside the container.
setting NGINX_ADDRESSES "0.0.0.0$([ ! -f /proc/net/if_inet6 ] || echo ' [::]')" "$LISTEN( $LISTEN)*"
setting NGINX_HTTP_PORT 80 '[0-9]+'
setting NGINX_HTTPS_PORT 443 '[0-9]+'
setting NGINX_STATUS_PORT 8080 '[0-9]+'
setting NGINX_WORKERS auto 'auto|[1-9][0-9]*'
setting NGINX_USER nginx '[A-Za-z0-9_-]+'
# Where temporary files, the rendered configuration and the pid go: a tmpfs.
setting NGINX_RUN_DIR /run/nginx "$FILE"
setting NGINX_ACCESS_LOG /dev/stdout "$FILE"
# The DNS server for GATEWAY_UPSTREAM: by default the container's own.
setting NGINX_RESOLVER "$(awk '$1 == "nameserver" && $2 !~ /:/ { print $2; exit }' /etc/resolv.conf)" "$ADDRESS(:[0-9]+)?"

TLS_CERT_FILE=$NGINX_CERTS_DIR/$TLS_CERT TLS_KEY_FILE=$NGINX_CERTS_DIR/$TLS_KEY
for file in "$TLS_CERT_FILE" "$TLS_KEY_FILE"; do
    [ -r "$file" ] || {
        echo "nginx: cannot read $file: put a certificate there, or make a development pair with certs/make-dev-cert.sh" >&2
        exit 2
    }
done
HSTS="max-age=$HSTS_SECONDS"
# The first line that make-dev-cert.sh writes; a real certificate that replaces the file has no such line.
if [ "$HSTS_SECONDS" = 0 ] || grep -q '^development certificate' "$TLS_CERT_FILE"; then HSTS=; fi
PUBLIC_HTTPS_PORT=:$HTTPS_PORT
if [ "$HTTPS_PORT" = 443 ]; then PUBLIC_HTTPS_PORT=; fi
export TLS_CERT_FILE TLS_KEY_FILE HSTS PUBLIC_HTTPS_PORT

umask 022
mkdir -p "$NGINX_RUN_DIR"
awk -f "$HERE/render.awk" "$HERE/nginx.conf" > "$NGINX_RUN_DIR/nginx.conf"
nginx -e stderr -q -t -c "$NGINX_RUN_DIR/nginx.conf"
[ "${1:-run}" != check ] || exit 0
exec nginx -e stderr -c "$NGINX_RUN_DIR/nginx.conf" -g 'daemon off;'
