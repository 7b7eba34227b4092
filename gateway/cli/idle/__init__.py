"""`gateway idle`: may the host be stopped? Only if no request has run for long enough, and nobody holds it."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import click

from gateway.cli.asking import REFUSED, actor, fail
from gateway.cli.idle.duration import Duration, spelt
from gateway.cli.idle.hold import Hold, UnreadableHoldError, held, keep, let_go
from gateway.cli.tables import cell, echo_json, json_option
from gateway.core.boot import boot_id
from gateway.core.clock import SystemClock
from gateway.server.sighting import FOLDER, Idleness, UnseenError, idleness
from gateway.settings import ConfigurationError, load

LONGEST_HOLD = timedelta(days=7)
"""A hold that somebody has forgotten costs no more than that."""


class Verdict(StrEnum):
    """What the host is."""

    IDLE = "idle"
    UNKNOWN = "unknown"
    ACTIVE = "active"
    HELD = "held"


STATUS = {Verdict.IDLE: 0, Verdict.UNKNOWN: 3, Verdict.ACTIVE: 4, Verdict.HELD: 5}
"""Exit statuses. 1 and 2 are failures of ours and of click's, and Docker has its own: whoever stops a host does so
upon 0 alone."""


class Answer(NamedTuple):
    """What is said of the host.

    Attributes:
        verdict: in a word.
        why: in a sentence.
        found: what the gateways have seen; None where that is not known.
        hold: the one in force.
    """

    verdict: Verdict
    why: str
    found: Idleness | None = None
    hold: Hold | None = None


@click.group(invoke_without_command=True, short_help="How long no request has run; hold, release.")
@click.option(
    "--for",
    "enough",
    type=Duration(),
    default="0s",
    metavar="TIME",
    help="Idle is what has been so for this long: 30m, 2h, 90s. Without it, nothing need run now.",
)
@click.option("--data-path", type=click.Path(path_type=Path), help="Instead of DATA_PATH.")
@json_option
@click.pass_context
def idle(ctx: click.Context, *, enough: timedelta, data_path: Path | None, as_json: bool) -> None:
    """Say how long no request has run, over all workers and all gateways that share DATA_PATH on this host.

    Exits with 0 when that is idle for as long as --for asks, 4 when it is not, 5 when the host is held, and 3 when it
    is not known: as no gateway runs, or one does not answer. Only 0 is a reason to stop the host.
    """
    ctx.obj = data_path
    if ctx.invoked_subcommand is not None:
        return
    answer = answered(data_path, enough, datetime.now(UTC))
    if as_json:
        echo_json(shown(answer, enough))
    else:
        click.echo(f"{answer.verdict}: {cell(answer.why)}")
    sys.exit(STATUS[answer.verdict])


@idle.command()
@click.argument("time", type=Duration())
@click.option("--why", default="", help="What for; `gateway idle` shows it.")
@click.pass_obj
def hold(data_path: Path | None, *, time: timedelta, why: str) -> None:
    """Hold the host for TIME (2h, 90m, 1d; 7d at the most), however idle it is; in place of a hold before."""
    if not timedelta() < time <= LONGEST_HOLD:
        raise click.BadParameter(f"more than nothing, and {spelt(LONGEST_HOLD.total_seconds())} at the most")
    made = Hold(datetime.now(UTC) + time, actor(), why)
    writing(data_path, lambda folder: keep(folder, made))
    click.echo(f"held {made}")


@idle.command()
@click.pass_obj
def release(data_path: Path | None) -> None:
    """End the hold."""
    writing(data_path, let_go)
    click.echo("not held")


def answered(data_path: Path | None, enough: timedelta, now: datetime) -> Answer:
    """What is to be said; a hold counts also where nothing is known."""
    hold = None
    try:
        folder = folder_of(data_path)
        hold = held(folder, now)
        found = idleness(folder, boot_id(), SystemClock.monotonic())
    except ConfigurationError as error:
        return Answer(Verdict.UNKNOWN, "; ".join(error.mistakes))
    except (UnseenError, UnreadableHoldError, OSError) as error:
        return Answer(Verdict.HELD if hold else Verdict.UNKNOWN, str(hold or error), hold=hold)
    if hold is not None:
        return Answer(Verdict.HELD, str(hold), found, hold)
    if found.running:
        return Answer(Verdict.ACTIVE, "requests run or wait", found)
    quiet = f"no request has run for {spelt(found.secs)}"
    if found.secs < enough.total_seconds():
        return Answer(Verdict.ACTIVE, f"{quiet}, which is less than {spelt(enough.total_seconds())}", found)
    return Answer(Verdict.IDLE, quiet, found)


def shown(answer: Answer, enough: timedelta) -> dict[str, object]:
    """The answer for scripts; what is not known is null."""
    found, hold = answer.found, answer.hold
    return {
        "verdict": answer.verdict,
        "why": answer.why,
        "idle_seconds": round(found.secs, 1) if found else None,
        "wanted_seconds": enough.total_seconds(),
        "running": found.running if found else None,
        "gateways": found.gateways if found else None,
        "held_until": hold.until.isoformat(timespec="seconds") if hold else None,
    }


def folder_of(data_path: Path | None) -> Path:
    """Where the gateways keep what they see.

    Raises:
        ConfigurationError: the settings here will not do.
    """
    return (data_path or load().data_path) / FOLDER


def writing(data_path: Path | None, change: Callable[[Path], None]) -> None:
    """Change what is in the folder, or say why that cannot be."""
    try:
        change(folder_of(data_path))
    except ConfigurationError as error:
        fail("; ".join(error.mistakes), REFUSED)
    except OSError as error:
        fail(str(error), REFUSED)
