"""How are answers shown? As tables for people, or as JSON for scripts."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click
import orjson

GAP = "  "
NOTHING = "-"
NONE = "none"
ALL = "all"

Command = TypeVar("Command")
SHORT = {
    "requests_per_minute": "rpm",
    "tokens_per_minute": "tpm",
    "requests_per_day": "requests/day",
    "tokens_per_day": "tokens/day",
    "requests_per_month": "requests/month",
    "tokens_per_month": "tokens/month",
}

json_option = click.option("--json", "as_json", is_flag=True, help="JSON, for scripts.")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns under their headings; numbers stand to the right."""
    lines = [tuple(headings), *[tuple(map(cell, row)) for row in rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [
        len(lines) > 1 and all(line[index].replace(",", "").isdigit() or line[index] == NOTHING for line in lines[1:])
        for index in range(len(headings))
    ]
    return "\n".join(
        GAP.join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def cell(value: object) -> str:
    """One value for people: thousands set apart, nothing a terminal would obey."""
    if value is None or value in ("", []):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(cell, value))
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))


def moment(text: str | None) -> str:
    """A time to the minute, in UTC as it came."""
    return NOTHING if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"


def limits(values: Mapping[str, int] | None, concurrency: int = 0) -> str:
    """The limits that there are, in a few words."""
    if values is None:
        return "defaults"
    words = [f"{short}={values[name]}" for name, short in SHORT.items() if values[name]]
    return " ".join([*words, *([f"concurrency={concurrency}"] if concurrency else [])]) or NONE


def show(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a list: `columns` has what makes each cell of a row under its heading."""
    if as_json:
        echo_json(list(rows))
    else:
        click.echo(table(list(columns), [[make(row) for make in columns.values()] for row in rows]))


def show_one(thing: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing: a line for each of its fields."""
    if as_json:
        echo_json(thing)
        return
    width = max(map(len, thing))
    for name, value in thing.items():
        if name != "object":
            click.echo(f"{name.ljust(width)}{GAP}{field(name, value)}".rstrip())


def field(name: str, value: Any) -> str:  # noqa: ANN401 -- whatever JSON holds
    """One field's value for people."""
    if name == "limits":
        return limits(value)
    if name == "models" and value is None:
        return ALL
    if name.endswith("_at") or name == "at":
        return moment(value)
    if isinstance(value, dict):
        return cell(", ".join(f"{key}={cell(inner)}" for key, inner in value.items()))
    return cell(value)


def echo_json(value: object) -> None:
    """Print JSON, indented."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
