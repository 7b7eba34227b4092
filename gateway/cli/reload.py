"""`gateway reload`: how do new settings and new code come into force? The gateway is told, and its word awaited."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

import click

from gateway.server.pid_file import Found, Notice, Outcome, find
from gateway.settings import ConfigurationError, load

NOT_RELOADED, NOBODY, UNKNOWN = 1, 3, 4
"""Exit statuses; 2 is click's, for a command line that will not do."""
LOOK_SECS = 0.05


@click.command(short_help="Replace the workers: new settings, new code.")
@click.option("--port", type=int, help="Which gateway, where several share LIMITER_PATH.")
@click.option(
    "--limiter-path",
    "directory",
    type=click.Path(path_type=Path),
    help="Where the gateway keeps its pid file; by default LIMITER_PATH, as the settings say here.",
)
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait for the new workers.")
def reload(port: int | None, directory: Path | None, timeout: float) -> None:
    """Have the running gateway read its settings and code anew and replace its workers; no request is lost.

    Exits with 0 when the new workers serve, 1 when the old ones stay (the reason is said), 3 when no gateway is
    found, 4 when it has not said by --timeout what came of it.
    """
    try:
        place = directory or load().limiter_path
        gateway = the_one(find(place), port, place)
        before = gateway.notice()
        os.kill(gateway.pid, signal.SIGHUP)
    except ConfigurationError as error:
        fail(NOT_RELOADED, *unasked(), *error.mistakes)
    except (OSError, LookupError) as error:
        fail(NOBODY, str(error))
    notice = outcome(gateway, before.reloads + 1, timeout)
    if notice is None:
        fail(UNKNOWN, f"the gateway (pid {gateway.pid}) has not said within {timeout:g} s what came of it")
    if notice.outcome is not Outcome.DONE:
        fail(NOT_RELOADED, "not reloaded, the workers stay as they are:", *notice.words)
    click.echo(f"reloaded: {' '.join(notice.words)}")


def unasked() -> list[str]:
    """What is said before the mistakes that are found here: whose settings these are, and that nobody was asked."""
    here = Path.cwd()
    if (here / ".env").is_file():
        why = f"the settings in {here / '.env'} and the environment will not do"
    else:
        why = f"there is no .env in {here}; run this in the gateway's folder, or give --limiter-path"
    return [f"the gateway was not asked to reload: {why}"]


def the_one(found: list[Found], port: int | None, place: Path) -> Found:
    """The gateway that is meant.

    Raises:
        LookupError: there is none, or more than one, or it cannot be told from here; the message is for the operator.
    """
    meant = [one for one in found if port in {None, one.port}]
    if not meant:
        raise LookupError("no running gateway is found" + (f" on port {port}" if port else "") + f" in {place}")
    if len(meant) > 1:
        ports = ", ".join(str(one.port) for one in meant)
        raise LookupError(f"several gateways share this LIMITER_PATH: choose one by --port ({ports})")
    if meant[0].pid <= 0:  # what the kernel says of a process that we cannot see; a signal to 0 is one to ourselves
        raise LookupError("the gateway runs where this command sees no process of its: run it in the same container")
    return meant[0]


def outcome(gateway: Found, number: int, seconds: float) -> Notice | None:
    """What came of reload `number`; None when that is not known in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            notice = gateway.notice()
        except FileNotFoundError:
            fail(NOT_RELOADED, f"the gateway (pid {gateway.pid}) is ending")
        if notice.reloads >= number and notice.outcome is not Outcome.RUNNING:
            return notice
        time.sleep(LOOK_SECS)
    return None


def fail(status: int, *lines: str) -> NoReturn:
    """Say why, and exit."""
    for line in lines:
        click.echo(f"gateway: {line}", err=True)
    sys.exit(status)
