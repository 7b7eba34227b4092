"""`gateway audit`: who changed what?"""

from collections.abc import Callable
from itertools import islice

import click

from gateway.cli.asking import Admin, Json, asks
from gateway.cli.tables import cell, json_option, moment, show

PATH = "/v1/audit"
UNSAID = {"version", "created", "name", "id", "alias", "prefix"}
"""What says nothing of a change."""


@click.command(short_help="Who changed what, newest first.")
@asks
@click.option("--target", help="Changes of this key, organization, model or backend alone.")
@click.option("--last", default=50, show_default=True, type=click.IntRange(min=1), help="So many.")
@json_option
def audit(admin: Admin, *, target: str | None, last: int, as_json: bool) -> None:
    """Print the latest changes. The trail can only grow."""
    columns: dict[str, Callable[[Json], object]] = {
        "WHEN": lambda entry: moment(entry["at"]),
        "WHO": lambda entry: entry["actor"],
        "WHAT": lambda entry: entry["action"],
        "WHICH": lambda entry: entry["target"],
        "CHANGED": changed,
    }
    show(list(islice(admin.pages(PATH, target=target), last)), columns, as_json=as_json)


def changed(entry: Json) -> str:
    """The fields that differ, as they are now; nothing of what was made or removed as a whole."""
    before, after = entry["before"], entry["after"]
    if before is None or after is None:
        return ""
    names = [name for name in after if name not in UNSAID and after[name] != before.get(name)]
    return ", ".join(f"{name}={cell(str(after[name]))}" for name in names)
