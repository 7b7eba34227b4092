"""What may stand in `.env`? The file that `gateway init` writes and `.env.example` shows, made from the settings."""

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway.settings import ROOMS

WIDTH = 110
PLACEHOLDER = "change-me"


class Foreign(NamedTuple):
    """A name in the same file that the gateway does not read, and its default; None: it must be chosen."""

    name: str
    default: str
    description: str


FOREIGN = (
    Foreign("GATEWAY_CONFIG", "", "Path of a YAML file with further settings, one `name: value` a line."),
    Foreign("DEMO_PORT", "9000", "Port of `gateway demo`."),
    Foreign("DEMO_KEY", "sk-demo", "Key of `gateway demo`."),
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
    Foreign("NGINX_OPERATORS", "127.0.0.1 ::1", "Addresses or networks that see /metrics and /admin, by blanks."),
    Foreign("NGINX_CONNECTIONS_PER_ADDRESS", "1000", "Requests in flight per client address; over it 429."),
    Foreign("NGINX_TMPFS_SIZE", "2g", "Memory for request bodies over 128 KiB that wait to be passed on."),
    Foreign("CHAT_VLLM_ARGS", "--quantization fp8 --max-num-seqs 64", "Further arguments of both chat servers."),
    Foreign("TEXT2SQL_VLLM_ARGS", "--max-num-seqs 32", "Further arguments of the text-to-SQL server."),
    Foreign("EMBED_VLLM_ARGS", "", "Further arguments of the embedding server."),
    Foreign("RERANK_VLLM_ARGS", "", "Further arguments of the reranker."),
    Foreign("VLLM_IMAGE", "vllm/vllm-openai:v0.32.0", "The model servers' image."),
    Foreign("NGINX_IMAGE", "nginx:1.30-alpine", "nginx' image; 1.30 or newer."),
    Foreign("PYTHON_IMAGE", "python:3.13-slim", "What the gateway's image is built on."),
    Foreign("PROMETHEUS_IMAGE", "prom/prometheus:v3.5.3", "Prometheus' image."),
    Foreign("PROMETHEUS_PORT", "9090", "Port of Prometheus on this host's loopback."),
    Foreign("PROMETHEUS_RETENTION", "15d", "How long Prometheus keeps its figures."),
    Foreign("GATEWAY_ENV_FILE", ".env", "The file that Compose gives to the gateway."),
)
CHOSEN: Mapping[str, str] = {
    "GATEWAY_API_KEY": PLACEHOLDER,
    "BACKEND_API_KEY": PLACEHOLDER,
    "CHAT_BACKENDS": "http://chat0:8000,http://chat1:8000",
    "TEXT2SQL_BACKEND": "http://text2sql:8000",
    "EMBED_BACKEND": "http://embed:8000",
    "RERANK_BACKEND": "http://rerank:8000",
}
"""What the file states uncommented: the keys, to be replaced, and the servers of docker-compose.yml."""

HEADER = """\
# Settings of the gateway and of docker-compose.yml. `gateway init` writes this file as .env with strong keys;
# `gateway check` explains what the settings amount to.
# A line that begins with # shows the default. The environment goes before this file, this file before GATEWAY_CONFIG.
"""


def render(chosen: Mapping[str, str]) -> str:
    """The file's text, with `chosen` names stated and everything else shown as a comment with its default."""
    sections = [HEADER]
    for room in ROOMS:
        sections.append(_title(room.__doc__))
        sections += [
            _entry(name.upper(), shown(field), field.description or "", chosen)
            for name, field in room.model_fields.items()
        ]
    sections.append(_title("Read by others: docker-compose.yml and the demo."))
    sections += [_entry(*foreign[:2], foreign.description, chosen) for foreign in FOREIGN]
    return "\n".join(sections)


def shown(field: FieldInfo) -> str:
    """A default as it would be written in the file; empty where it is worked out at the start."""
    return written(field.default) if field.default_factory is None else ""


def written(value: object) -> str:
    """A setting's value as text; a secret's is empty."""
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(written(item) for item in value)
    return str(value)


def _title(sentence: str | None) -> str:
    return f"\n# ---- {(sentence or '').splitlines()[0]}\n"


def _entry(name: str, default: str, description: str, chosen: Mapping[str, str]) -> str:
    words = textwrap.fill(description, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    line = f"{name}={chosen[name]}" if name in chosen else f"#{name}={default}"
    return f"{words}\n{line}\n"
