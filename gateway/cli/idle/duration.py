"""How is a length of time typed and shown? `90s`, `30m`, `2h`, `1d`."""

import re
from datetime import timedelta
from typing import Any

import click

TYPED = re.compile(r"(\d{1,7})([smhd])")
UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


class Duration(click.ParamType[timedelta]):
    """A whole number and its unit."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401 -- click's
        """The time."""
        if found := TYPED.fullmatch(str(value)):
            return timedelta(seconds=int(found[1]) * UNITS[found[2]])
        self.fail(f"{value!r} is no time as 90s, 30m, 2h or 1d", param, ctx)
        return None


def spelt(seconds: float) -> str:
    """The two largest units that it has, as `1h 5m`."""
    left = int(seconds)
    words = []
    for name, size in UNITS.items():
        count, left = divmod(left, size)
        if count:
            words.append(f"{count}{name}")
    return " ".join(words[:2]) or "0s"
