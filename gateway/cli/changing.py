"""What do commands share that change one thing? Its path, and a change of the very version that was read."""

from urllib.parse import quote

import click

from gateway.cli.asking import Admin, Json
from gateway.cli.tables import show_one


def place(path: str, name: str) -> str:
    """The path of one thing of a list; a colon may stand in it, a slash may not."""
    return f"{path}/{quote(name, safe=':')}"


def amend(admin: Admin, path: str, body: Json, *, as_json: bool) -> None:
    """Change what is stated of it, and show it as it is then."""
    if not body:
        raise click.UsageError("nothing to change is stated")
    show_one(admin.change("PATCH", path, body).json(), as_json=as_json)


def remove(admin: Admin, path: str, said: str) -> None:
    """Delete it, and say so."""
    admin.change("DELETE", path)
    click.echo(said)
