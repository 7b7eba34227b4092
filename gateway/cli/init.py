"""`gateway init`: where do strong keys come from? It writes a `.env` that is ready to use."""

import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from gateway.cli.env_file import CHOSEN, render

KEY_BYTES = 32
PRIVATE = 0o600


def new_key(prefix: str) -> str:
    """A key of 256 random bits, of letters, digits, `-` and `_`."""
    return prefix + secrets.token_urlsafe(KEY_BYTES)


def _valkey() -> Mapping[str, str]:
    password = new_key("")
    # Its gateways are containers of one host, on which `chat0` is one server for all of them.
    return {"VALKEY_PASSWORD": password, "REDIS_URL": f"redis://:{password}@valkey:6379/0", "BACKENDS_SHARED": "on"}


def _postgres() -> Mapping[str, str]:
    password = new_key("")
    url = f"postgresql://gateway:{password}@postgres:5432/gateway"
    # Not a file of DATA_PATH, which each container may have of its own: with another secret no key is known.
    return {"POSTGRES_PASSWORD": password, "DATABASE_URL": url, "KEY_HASH_SECRET": new_key("")}


PROFILES: Mapping[str, Callable[[], Mapping[str, str]]] = {"redis": _valkey, "postgres": _postgres}
"""Compose's profiles, and what `.env` states where one of them is on."""


@click.command(short_help="Write a .env with strong keys.")
@click.option("--file", "path", type=click.Path(path_type=Path), default=".env", show_default=True)
@click.option(
    "--with",
    "profiles",
    type=click.Choice(list(PROFILES)),
    multiple=True,
    help="Have Compose start a Valkey server (redis) or PostgreSQL too, with passwords of their own; repeatable.",
)
def init(path: Path, profiles: Sequence[str]) -> None:
    """Write a .env with strong random keys, readable by you alone; an existing file is left as it is."""
    others = ("BACKEND_API_KEY", "ADMIN_API_KEY", "GRAFANA_ADMIN_PASSWORD")
    keys = {"GATEWAY_API_KEY": new_key("sk-"), **{name: new_key("") for name in others}}
    if profiles:
        keys["COMPOSE_PROFILES"] = ",".join(sorted(set(profiles)))
    for profile in profiles:
        keys |= PROFILES[profile]()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    except FileExistsError:
        click.echo(f"gateway: {path} exists and is left as it is", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"gateway: {path} cannot be written: {error.strerror}", err=True)
        sys.exit(1)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(render({**CHOSEN, **keys}))
    click.echo(f"{path} is written. Clients send GATEWAY_API_KEY; `gateway check` explains the rest.")
