"""Writes .env.example and docs/configuration.md anew from the settings: run it when a setting was added or changed."""

import dataclasses
import enum
from pathlib import Path

import annotated_types as bounds
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway.cli.env_file import CHOSEN, render, shown
from gateway.cli.supervise import FIXED
from gateway.core.room_settings import RoomSettings
from gateway.elsewhere import COMPOSE_SETS, FOREIGN, Foreign
from gateway.settings import ROOMS

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / ".env.example"
PAGE = ROOT / "docs" / "configuration.md"
SIGNS = {bounds.Ge: "from {}", bounds.Gt: "above {}", bounds.Le: "to {}", bounds.Lt: "below {}"}
"""What a bound is called."""
SECRETS = {SecretStr: "a secret", list[SecretStr]: "secrets"}
HEADER = """\
# Configuration

Every name that may stand in `.env`, in the environment (which goes before `.env`) or, as one `name: value` a line,
in the YAML file of `GATEWAY_CONFIG` (which comes last). `gateway init` writes an `.env` with strong keys,
`gateway check` explains what the settings amount to, and a name that nobody reads stops the start with those that
are like it.

This page is made from the settings themselves (`scripts/settings_pages.py`); [.env.example](../.env.example) is the
same as a file to begin with.

`gateway reload` brings changes into force while requests run, but for the names marked *restart*. Under Compose a
container keeps the `.env` that it was made with: `deploy/upgrade.sh` makes new ones, under load, and
`docker compose up -d` does with a gap. Names marked *Compose* are set by docker-compose.yml, whatever `.env` says.
"""
OTHERS = """\
## Read by others: docker-compose.yml and the demo

The gateway does not read these. Compose reads them when it makes a container.

| name | default | meaning |
|---|---|---|
"""


def page() -> str:
    """The text of docs/configuration.md."""
    return "\n".join([HEADER, *(_room(room) for room in ROOMS), OTHERS + "".join(map(_foreign, FOREIGN))])


def _room(room: type[RoomSettings]) -> str:
    title = (room.__doc__ or "").splitlines()[0].rstrip(".")
    rows = "".join(_row(name, field) for name, field in room.model_fields.items())
    return f"## {title}\n\n| name | default | values | meaning |\n|---|---|---|---|\n{rows}"


def _row(name: str, field: FieldInfo) -> str:
    marks = [mark for mark, names in (("restart", FIXED), ("Compose", map(str.lower, COMPOSE_SETS))) if name in names]
    called = f"`{name.upper()}`" + "".join(f" *{mark}*" for mark in marks)
    default = f"`{text}`" if (text := shown(field)) else ""
    return f"| {called} | {default} | {_values(field)} | {_cell(field.description or '')} |\n"


def _values(field: FieldInfo) -> str:
    """Which values a field takes, as far as its type and bounds say."""
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    if kind is bool:
        return "`true`, `false`"
    words = [sign.format(_number(rule)) for rule in field.metadata if (sign := SIGNS.get(type(rule)))]
    if kind in SECRETS:
        return SECRETS[kind]
    return " ".join((["whole numbers"] if kind is int else []) + words)


def _number(rule: bounds.Ge | bounds.Gt | bounds.Le | bounds.Lt) -> str:
    value = getattr(rule, dataclasses.fields(rule)[0].name)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.10g}"


def _foreign(foreign: Foreign) -> str:
    default = f"`{foreign.default}`" if foreign.default else ""
    return f"| `{foreign.name}` | {default} | {_cell(foreign.description)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    EXAMPLE.write_text(render(CHOSEN), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
