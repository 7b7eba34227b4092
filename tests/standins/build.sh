#!/usr/bin/env bash
# Builds local stand-ins for public base images, for a machine whose Docker engine can reach no container registry but whose apt and pip work.
#
#   tests/standins/build.sh [--only NAME] [DIR]
#
# NAME is one of python, nginx, prometheus, alertmanager, nginx-exporter, valkey, postgres, kustomize; all of them without --only. DIR (default: a
# folder under TMPDIR) keeps the root file system: three minutes the first time, then seconds. Needs root, debootstrap and a running Docker engine.
# Tags, by environment: PYTHON_TAG NGINX_TAG PROMETHEUS_TAG ALERTMANAGER_TAG NGINX_EXPORTER_TAG VALKEY_TAG POSTGRES_TAG KUSTOMIZE_TAG. They hold
# Debian testing's packages and this machine's CA bundle: for local use, never to be pushed.
set -euo pipefail

only=
if [[ "${1:-}" = --only ]]; then only="${2:?a name follows --only}"; shift 2; fi
DIR="${1:-${TMPDIR:-/tmp}/standins}"
PYTHON_TAG="${PYTHON_TAG:-python:3.13-slim}"
NGINX_TAG="${NGINX_TAG:-nginx:1.30-alpine}"
PROMETHEUS_TAG="${PROMETHEUS_TAG:-prom/prometheus:v3.5.3}"
ALERTMANAGER_TAG="${ALERTMANAGER_TAG:-prom/alertmanager:v0.32.1}"
NGINX_EXPORTER_TAG="${NGINX_EXPORTER_TAG:-nginx/nginx-prometheus-exporter:1.5.1}"
VALKEY_TAG="${VALKEY_TAG:-valkey/valkey:9.1-alpine}"
POSTGRES_TAG="${POSTGRES_TAG:-postgres:18-alpine}"
KUSTOMIZE_TAG="${KUSTOMIZE_TAG:-registry.k8s.io/kustomize/kustomize:v5.8.1}"
BASE=standin-base:forky

# apt fills the form in, not the shell.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -1)
mkdir -p "$DIR"

if ! docker image inspect "$BASE" > /dev/null 2>&1; then
  root="$DIR/forky"
  if [[ ! -e "$root/.ok" ]]; then
    rm -rf "$root"
    debootstrap --variant=minbase --include=ca-certificates,curl forky "$root" "$mirror" sid > "$DIR/debootstrap.log" 2>&1
    touch "$root/.ok"
  fi
  # The builds reach apt's mirror and pip's index as this machine does.
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  cp /etc/apt/apt.conf.d/99* "$root/etc/apt/apt.conf.d/" 2> /dev/null || true
  printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' > "$root/etc/pip.conf"
  rm -rf "$root"/var/cache/apt/archives/*.deb
  tar -C "$root" -c . | docker import -c 'CMD ["bash"]' \
    -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    -c 'ENV LANG=C.UTF-8 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt' - "$BASE"
fi

# image NAME TAG: builds TAG from the Dockerfile lines on stdin, unless it is there or another one was asked for.
image() {
  if [[ -n "$only" && "$only" != "$1" ]]; then cat > /dev/null; return; fi
  if docker image inspect "$2" > /dev/null 2>&1; then cat > /dev/null; echo "have $2"; return; fi
  { echo "FROM $BASE"; cat; } | DOCKER_BUILDKIT=0 docker build -q -t "$2" - > /dev/null
  echo "built $2"
}
install='apt-get update -q && apt-get install -y -q --no-install-recommends'

image python "$PYTHON_TAG" <<D
RUN $install python3.13 python3.13-venv python3-pip && rm -rf /var/lib/apt/lists/* \
 && ln -sf /usr/bin/python3.13 /usr/local/bin/python3 && ln -sf /usr/bin/python3.13 /usr/local/bin/python \
 && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED \
 && printf '#!/bin/sh\nexec python3 -m pip "\$@"\n' > /usr/local/bin/pip && chmod +x /usr/local/bin/pip
ENV PIP_ROOT_USER_ACTION=ignore
CMD ["python3"]
D

image nginx "$NGINX_TAG" <<D
RUN $install nginx-light openssl && rm -rf /var/lib/apt/lists/* /etc/nginx/sites-enabled/default \
 && ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log \
 && (id nginx 2>/dev/null || useradd -r nginx)
STOPSIGNAL SIGQUIT
CMD ["nginx","-g","daemon off;"]
D

image prometheus "$PROMETHEUS_TAG" <<D
RUN $install prometheus && rm -rf /var/lib/apt/lists/* && mkdir -p /prometheus /etc/prometheus && chown nobody /prometheus
WORKDIR /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml","--storage.tsdb.path=/prometheus"]
D

image alertmanager "$ALERTMANAGER_TAG" <<D
RUN $install prometheus-alertmanager && rm -rf /var/lib/apt/lists/* && mkdir -p /alertmanager /etc/alertmanager && chown nobody /alertmanager
WORKDIR /alertmanager
USER nobody
ENTRYPOINT ["prometheus-alertmanager"]
CMD ["--config.file=/etc/alertmanager/alertmanager.yml","--storage.path=/alertmanager"]
D

image nginx-exporter "$NGINX_EXPORTER_TAG" <<D
RUN $install prometheus-nginx-exporter && rm -rf /var/lib/apt/lists/*
USER nobody
ENTRYPOINT ["prometheus-nginx-exporter"]
D

image valkey "$VALKEY_TAG" <<D
RUN $install valkey-server valkey-tools && rm -rf /var/lib/apt/lists/* && mkdir -p /data
WORKDIR /data
CMD ["valkey-server","--bind","0.0.0.0","--protected-mode","no"]
D

image postgres "$POSTGRES_TAG" <<D
RUN $install postgresql && rm -rf /var/lib/apt/lists/*
ENV PGDATA=/var/lib/postgresql/data
RUN printf '%s\n' '#!/bin/sh' 'set -e' \
 'bin=\$(ls -d /usr/lib/postgresql/*/bin | tail -1); mkdir -p "\$PGDATA"; chown -R postgres "\$PGDATA"' \
 'if [ ! -s "\$PGDATA/PG_VERSION" ]; then' \
 '  printf %s "\${POSTGRES_PASSWORD:-postgres}" > /tmp/pw; chown postgres /tmp/pw' \
 '  su postgres -c "\$bin/initdb -D \$PGDATA -U \${POSTGRES_USER:-postgres} --auth=scram-sha-256 --pwfile=/tmp/pw >/dev/null"; rm /tmp/pw' \
 '  echo "host all all all scram-sha-256" >> "\$PGDATA/pg_hba.conf"' \
 '  [ -z "\${POSTGRES_DB:-}" ] || [ "\${POSTGRES_DB}" = postgres ] ||' \
 '    echo "CREATE DATABASE \"\$POSTGRES_DB\";" | su postgres -c "\$bin/postgres --single -D \$PGDATA postgres >/dev/null"' \
 'fi' \
 'mkdir -p /var/run/postgresql; chown postgres /var/run/postgresql' \
 'exec su postgres -c "exec \$bin/postgres -D \$PGDATA -c listen_addresses=*"' > /usr/local/bin/docker-entrypoint.sh \
 && chmod +x /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
D

image kustomize "$KUSTOMIZE_TAG" <<D
RUN $install kustomize && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["kustomize"]
D
