"""`gateway init`: where do strong keys come from? It writes a `.env` that is ready to use."""

import os
import secrets
import sys
from pathlib import Path

import click

from gateway.cli.env_file import CHOSEN, render

KEY_BYTES = 32
PRIVATE = 0o600


@click.command(short_help="Write a .env with strong keys.")
@click.option("--file", "path", type=click.Path(path_type=Path), default=".env", show_default=True)
def init(path: Path) -> None:
    """Write a .env with strong random keys, readable by you alone; an existing file is left as it is."""
    others = ("BACKEND_API_KEY", "ADMIN_API_KEY", "GRAFANA_ADMIN_PASSWORD")
    keys = {"GATEWAY_API_KEY": new_key("sk-"), **{name: new_key("") for name in others}}
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


def new_key(prefix: str) -> str:
    """A key of 256 random bits, of letters, digits, `-` and `_`."""
    return prefix + secrets.token_urlsafe(KEY_BYTES)
