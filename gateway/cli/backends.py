"""`gateway backends`: which servers are there, how do they fare, and which are to get nothing new?"""

import time
from collections.abc import Callable

import click

from gateway.cli.asking import Admin, AskError, Json, asks
from gateway.cli.changing import amend, place, remove
from gateway.cli.tables import echo_json, json_option, show, show_one

PATH = "/v1/backends"
LOOK_SECS = 0.5

COLUMNS: dict[str, Callable[[Json], object]] = {
    "NAME": lambda backend: backend["id"],
    "MODEL": lambda backend: backend["model"],
    "URL": lambda backend: backend["url"],
    "WEIGHT": lambda backend: backend["weight"],
    "STATE": lambda backend: backend["state"],
    "CIRCUIT": lambda backend: backend["circuit"],
    "IN FLIGHT": lambda backend: backend["in_flight"],
    "DRAINED": lambda backend: backend["drained"],
    "SET BY": lambda backend: backend["source"],
}


@click.group(short_help="Backends: list, drain, undrain, create, update, delete.")
def backends() -> None:
    """Backends, those of the settings and those that were made while the gateway ran."""


@backends.command(name="list")
@asks
@json_option
def list_backends(admin: Admin, *, as_json: bool) -> None:
    """List all backends, and how they fare."""
    show(list(admin.pages(PATH)), COLUMNS, as_json=as_json)


@backends.command()
@asks
@click.argument("name")
@click.option("--wait", type=click.FloatRange(min=0), help="Wait so many seconds for its requests to end.")
@json_option
def drain(admin: Admin, *, name: str, wait: float | None, as_json: bool) -> None:
    """Send it nothing new; what runs there goes on. With --wait, exit with 1 when some still does by then."""
    backend = admin.ask("POST", f"{place(PATH, name)}/drain").json()
    deadline = time.monotonic() + (wait or 0.0)
    while wait is not None and backend["in_flight"] and time.monotonic() < deadline:
        time.sleep(LOOK_SECS)
        backend = admin.read(place(PATH, name))
    said(backend, as_json=as_json)
    if wait is not None and backend["in_flight"]:
        raise AskError(f"{backend['in_flight']} requests still run at {name} after {wait:g} s; it gets no new ones")


@backends.command()
@asks
@click.argument("name")
@json_option
def undrain(admin: Admin, *, name: str, as_json: bool) -> None:
    """Use it again."""
    said(admin.ask("POST", f"{place(PATH, name)}/undrain").json(), as_json=as_json)


@backends.command()
@asks
@click.argument("name")
@click.option("--model", required=True, help="The model that it serves.")
@click.option("--url", "address", required=True, help="Where it listens: http://host:port.")
@click.option("--weight", type=click.IntRange(min=1), default=1, show_default=True)
@json_option
def create(admin: Admin, *, name: str, model: str, address: str, weight: int, as_json: bool) -> None:
    """Put a server behind a model; it is asked as soon as a probe finds it well."""
    body = {"id": name, "model": model, "url": address, "weight": weight}
    show_one(admin.ask("POST", PATH, json=body).json(), as_json=as_json)


@backends.command()
@asks
@click.argument("name")
@click.option("--url", "address", help="Where it listens.")
@click.option("--weight", type=click.IntRange(min=1))
@click.option("--active/--inactive", default=None, help="Whether it is asked at all.")
@json_option
def update(
    admin: Admin, *, name: str, address: str | None, weight: int | None, active: bool | None, as_json: bool
) -> None:
    """Change what is stated, and nothing else."""
    stated = {"url": address, "weight": weight, "active": active}
    body = {field: value for field, value in stated.items() if value is not None}
    amend(admin, place(PATH, name), body, as_json=as_json)


@backends.command()
@asks
@click.argument("name")
def delete(admin: Admin, *, name: str) -> None:
    """Ask it nothing more, and forget it."""
    remove(admin, place(PATH, name), f"{name} is gone")


def said(backend: Json, *, as_json: bool) -> None:
    """Whether it is drained, and what runs there."""
    if as_json:
        echo_json(backend)
        return
    how = "gets no new requests" if backend["drained"] else "is used"
    click.echo(f"{backend['id']} {how}; {backend['in_flight']} in flight")
