"""What may stand in `.env`? The file that `gateway init` writes and `.env.example` shows, made from the settings."""

import textwrap
from collections.abc import Mapping

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway.elsewhere import FOREIGN
from gateway.settings import ROOMS

WIDTH = 110
PLACEHOLDER = "change-me"
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
