"""`gateway demo`: what is it like? Checks what it was given, says at once that it starts, and opens the stage."""

import asyncio
import re
import sys

import click

from gateway.cli.demo.processes import ChildError
from gateway.core.keys import MIN_LENGTH, why_unfit
from gateway.server.listening import CannotListenError, listen

HOST = "127.0.0.1"
MAX_PORT = 65535
KEY = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What needs no quotes in any example that is printed."""


@click.command(short_help="Five simulated servers, the gateway, a tour.")
@click.option("--port", envvar="DEMO_PORT", default="9000", show_default=True, help="1 to 65535; 0: any (DEMO_PORT).")
@click.option(
    "--key",
    envvar="DEMO_KEY",
    default="sk-demo",
    show_default=True,
    help=f"The clients' key, of {MIN_LENGTH} characters or more (DEMO_KEY).",
)
@click.option("--tour/--no-tour", default=True, help="Whether a few requests are sent and shown.")
def demo(port: str, key: str, tour: bool) -> None:  # noqa: FBT001 -- click passes it by name
    """Start five simulated vLLM servers and the gateway, show what it does, and stay up until Ctrl-C.

    DEMO_PORT and DEMO_KEY are read from the environment only: the demo uses no .env.
    """
    mistakes = [line for line in (wrong_port(port), wrong_key(key)) if line]
    for line in mistakes:
        click.echo(f"gateway: {line}", err=True)
    if mistakes:
        sys.exit(1)
    click.echo("Starting five simulated vLLM servers and the gateway with four workers ...")
    from gateway.cli.demo import stage  # noqa: PLC0415 -- its imports take longer than a newcomer should see nothing

    try:
        asyncio.run(stage.run(int(port), key, tour=tour))
    except ChildError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


def wrong_port(text: str) -> str | None:
    """Why the demo cannot listen there, None when it can."""
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_PORT):
        return f"DEMO_PORT is {text!r}, but must be a number from 1 to {MAX_PORT} (0: any free port)"
    try:
        listen(HOST, int(text)).close()
    except CannotListenError as error:
        return f"DEMO_PORT is {text}, but the demo {error}; choose another; DEMO_PORT=0 takes any free one"
    return None


def wrong_key(key: str) -> str | None:
    """Why the key cannot be used, None when it can."""
    if fault := why_unfit(key):
        return f"DEMO_KEY {fault}"
    return None if KEY.fullmatch(key) else "DEMO_KEY may hold letters, digits and ._~+/=- alone: it is to be pasted"
