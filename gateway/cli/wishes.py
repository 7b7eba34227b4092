"""What can be typed about keys and organizations? Options for their limits, names, and times."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

LIMITS = {
    "rpm": ("requests_per_minute", "Requests a minute; 0: no limit."),
    "tpm": ("tokens_per_minute", "Tokens a minute."),
    "daily_requests": ("requests_per_day", "Requests a calendar day."),
    "daily_tokens": ("tokens_per_day", "Tokens a calendar day."),
    "monthly_requests": ("requests_per_month", "Requests a calendar month."),
    "monthly_tokens": ("tokens_per_month", "Tokens a calendar month."),
}
"""Each limit's option, its name in the API, and its words."""
AHEAD = re.compile(r"(\d{1,5})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def limit_options(command: Command) -> Command:
    """Give a command an option for each limit."""
    for name, (_, words) in reversed(LIMITS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, type=click.IntRange(min=0), help=words)(command)
    return command


def limits_in(options: Mapping[str, Any]) -> dict[str, int]:
    """The limits that were typed, by their names in the API."""
    return {name: options[option] for option, (name, _) in LIMITS.items() if options[option] is not None}


def organization(text: str) -> str:
    """The organization that is meant: `acme` is `org:acme`, an address stays one."""
    if ":" in text:
        return text
    try:
        ip_address(text)
    except ValueError:
        return f"org:{text}"
    return text


class Organization(click.ParamType[str]):
    """An organization's name, with or without its kind."""

    name = "organization"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 -- click's
        """Its id."""
        del param, ctx
        return organization(str(value))


class Moment(click.ParamType[str]):
    """A time ahead: `30d`, `12h`, `90m`, or ISO 8601, in UTC where it names no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 -- click's
        """ISO 8601 with its zone."""
        if ahead := AHEAD.fullmatch(str(value)):
            return (datetime.now(UTC) + timedelta(**{UNITS[ahead[2]]: int(ahead[1])})).isoformat(timespec="seconds")
        try:
            stated = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither a time ahead, as 30d or 12h, nor ISO 8601", param, ctx)
        return (stated if stated.tzinfo else stated.replace(tzinfo=UTC)).isoformat()


def pairs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`name=value` several times, as a dictionary."""
    del ctx
    found = {}
    for value in values:
        name, mark, rest = value.partition("=")
        if not mark or not name:
            raise click.BadParameter(f"{value!r} is not of the form name=value", param=param)
        found[name] = rest
    return found
