"""Which names that are no settings may stand beside them? What Compose, nginx, vLLM and the demo read."""

import re
from typing import NamedTuple

from gateway.core.keys import MIN_LENGTH


class Foreign(NamedTuple):
    """A name in `.env` that the gateway does not read, its default and what it is for."""

    name: str
    default: str
    description: str


FOREIGN = (
    Foreign(
        "GATEWAY_CONFIG",
        "",
        "Path of a YAML file with further settings, one `name: value` a line. Under Compose the container has it too, "
        "read-only; its user, 1001, must be able to read it.",
    ),
    Foreign("DEMO_PORT", "9000", "Port of `gateway demo`. Read from the environment only, as the demo reads no .env."),
    Foreign(
        "DEMO_KEY",
        "sk-demo",
        f"Key of `gateway demo`, of {MIN_LENGTH} characters or more. Read from the environment only, as the demo reads "
        "no .env.",
    ),
    Foreign("HUGGING_FACE_HUB_TOKEN", "", "Token for models that need one; Compose hands it on as HF_TOKEN."),
    Foreign("HF_HOME", "./hf-cache", "Where Compose keeps the models."),
    Foreign("CERTS_DIR", "./certs", "Folder with the certificate and key that nginx shows."),
    Foreign("TLS_CERT", "fullchain.pem", "The certificate's file name in CERTS_DIR."),
    Foreign("TLS_KEY", "privkey.pem", "The key's file name in CERTS_DIR."),
    Foreign("PUBLISH_ADDRESS", "0.0.0.0", "Address of this host on which nginx is published."),  # noqa: S104 -- words
    Foreign("HTTP_PORT", "80", "Port that redirects to HTTPS_PORT."),
    Foreign("HTTPS_PORT", "443", "Port that clients use."),
    Foreign("HSTS_SECONDS", "63072000", "How long a browser remembers to use HTTPS only; 0 is off."),
    Foreign("EDGE_SUBNET", "10.199.0.0/24", "nginx' and the gateway's network; the gateway trusts exactly it."),
    Foreign(
        "NGINX_OPERATORS",
        "127.0.0.1 ::1",
        "Addresses or networks, separated by blanks, to which nginx shows /metrics, as nginx sees them: its own "
        "container by default; the Docker host is EDGE_SUBNET's first address (10.199.0.1). /admin, the admin "
        "API, is for them alone too.",
    ),
    Foreign(
        "NGINX_CONNECTIONS_PER_ADDRESS", "1000", "Requests in flight per client address (IPv6: per /64); over it 429."
    ),
    Foreign("NGINX_TMPFS_SIZE", "2g", "Memory for request bodies over 128 KiB that wait to be passed on."),
    Foreign("CHAT_VLLM_ARGS", "--quantization fp8 --max-num-seqs 64", "Further arguments of both chat servers."),
    Foreign("TEXT2SQL_VLLM_ARGS", "--max-num-seqs 32", "Further arguments of the text-to-SQL server."),
    Foreign("EMBED_VLLM_ARGS", "", "Further arguments of the embedding server."),
    Foreign("RERANK_VLLM_ARGS", "", "Further arguments of the reranker."),
    Foreign("VLLM_IMAGE", "vllm/vllm-openai:v0.32.0", "The model servers' image."),
    Foreign("NGINX_IMAGE", "nginx:1.30-alpine", "nginx' image; 1.30 or newer."),
    Foreign("PYTHON_IMAGE", "python:3.13-slim", "What the gateway's image is built on."),
    Foreign(
        "COMPOSE_PROFILES",
        "",
        "What Compose starts beside the rest: `redis`, the Valkey server that several gateways need, and `postgres`, a "
        "database; both with a comma between. `gateway init --with redis --with postgres` writes what belongs to them.",
    ),
    Foreign("GATEWAY_REVISION", "", "Which commit the image is built from, for its label; deploy/upgrade.sh says it."),
    Foreign("GATEWAY_REPLICAS", "1", "Containers of the gateway; more than one need REDIS_URL."),
    Foreign("VALKEY_IMAGE", "valkey/valkey:9.1-alpine", "The image of the Valkey server of profile `redis`."),
    Foreign("VALKEY_PASSWORD", "", "Its password, which REDIS_URL names, too; it is never well without one."),
    Foreign("VALKEY_MAXMEMORY", "512mb", "Its memory: 400 bytes for each of MAX_TRACKED_ORGANIZATIONS, keys included."),
    Foreign("POSTGRES_IMAGE", "postgres:18-alpine", "The image of the database of profile `postgres`."),
    Foreign("POSTGRES_PASSWORD", "", "Its password, which DATABASE_URL names, too; taken at its first start."),
    Foreign("PROMETHEUS_IMAGE", "prom/prometheus:v3.5.3", "Prometheus' image."),
    Foreign("PROMETHEUS_PORT", "9090", "Port of Prometheus on this host's loopback."),
    Foreign("PROMETHEUS_RETENTION", "35d", "How long Prometheus keeps its figures; the objectives look back 30 days."),
    Foreign("PROMETHEUS_RETENTION_SIZE", "20GB", "How much of the disk it takes for them at the most."),
    Foreign("GRAFANA_IMAGE", "grafana/grafana:13.1.1", "Grafana's image."),
    Foreign("GRAFANA_PORT", "3000", "Port of Grafana on this host's loopback."),
    Foreign("GRAFANA_ADMIN_USER", "admin", "Who may sign in to Grafana."),
    Foreign(
        "GRAFANA_ADMIN_PASSWORD",
        "",
        "Their password, taken at Grafana's first start; docker-compose.monitoring.yml does not start without one.",
    ),
    Foreign("ALERTMANAGER_IMAGE", "prom/alertmanager:v0.32.1", "Alertmanager's image."),
    Foreign("ALERTMANAGER_PORT", "9093", "Port of Alertmanager on this host's loopback."),
    Foreign(
        "ALERTMANAGER_DIR",
        "./monitoring/alertmanager",
        "Folder with alertmanager.yml: who is told of alerts. Its README.md says how; the default tells nobody.",
    ),
    Foreign("OTEL_COLLECTOR_IMAGE", "otel/opentelemetry-collector-contrib:0.157.0", "The OpenTelemetry collector's."),
    Foreign("TEMPO_IMAGE", "grafana/tempo:3.0.2", "The image of Tempo, which keeps traces; 3.0 or newer."),
    Foreign("NGINX_EXPORTER_IMAGE", "nginx/nginx-prometheus-exporter:1.5.1", "Turns nginx' figures into metrics."),
    Foreign(
        "DCGM_EXPORTER_IMAGE",
        "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless",
        "NVIDIA's exporter of GPU metrics; only with --profile gpu.",
    ),
    Foreign("GATEWAY_ENV_FILE", ".env", "The file that Compose gives to the gateway."),
)
"""What `.env.example` shows below the settings."""

CONTAINERS_ONLY = (
    *("VLLM_API_KEY", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE", "HF_TOKEN"),
    *("POSTGRES_USER", "POSTGRES_DB"),
    *("GATEWAY_UPSTREAM", "GATEWAY_METRICS_UPSTREAM", "NGINX_CERTS_DIR", "NGINX_RUN_DIR", "NGINX_ACCESS_LOG"),
    *("NGINX_CLIENT_HEADER_TIMEOUT", "NGINX_CLIENT_BODY_TIMEOUT", "NGINX_SEND_TIMEOUT", "NGINX_RESOLVER"),
    *("NGINX_ADDRESSES", "NGINX_HTTP_PORT", "NGINX_HTTPS_PORT", "NGINX_STATUS_PORT", "NGINX_WORKERS", "NGINX_USER"),
)
"""Names that docker-compose.yml gives to a container, or that nginx/entrypoint.sh reads there."""

EVERYBODYS = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "TZ")

ELSEWHERE = frozenset((*(foreign.name for foreign in FOREIGN), *CONTAINERS_ONLY, *EVERYBODYS))
"""Every name that is no setting and no mistake."""

VOCABULARIES = ("COMPOSE_", "DOCKER_", "BUILDKIT_", "VLLM_", "HF_", "NVIDIA_", "CUDA_", "OTEL_")
"""Beginnings of names that other programs own and that nobody could list here."""

LINK = re.compile(r".+_SERVICE_(HOST|PORT(_.+)?)|.+_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?|.+_ENV_.+")
"""Names that Kubernetes, or a Docker link, puts into the environment for each service beside the gateway."""

LINK_BY_VALUE = re.compile(r".+_PORT=(tcp|udp|sctp)://.*|.+_NAME=/.+/.+")
"""The same, where the name may be ours: a service called `gateway` makes a GATEWAY_PORT."""

COMPOSE_SETS = (
    *("GATEWAY_HOST", "GATEWAY_PORT", "METRICS_HOST", "METRICS_PORT", "CHAT_BACKENDS", "TEXT2SQL_BACKEND"),
    *("EMBED_BACKEND", "RERANK_BACKEND", "TRUSTED_PROXIES", "DATA_PATH"),
)
"""Settings that docker-compose.yml gives to the gateway itself: what `.env` says of them does not count there."""


def is_link(name: str, value: str) -> bool:
    """Whether an orchestrator put this into the environment to tell of a service, and no operator."""
    return bool(LINK.fullmatch(name) or LINK_BY_VALUE.fullmatch(f"{name}={value}"))
