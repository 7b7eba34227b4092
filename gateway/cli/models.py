"""`gateway models`: what may be asked for?"""

from collections.abc import Callable
from pathlib import Path

import click
import orjson

from gateway.cli.asking import Admin, AskError, Json, asks
from gateway.cli.changing import amend, place, remove
from gateway.cli.tables import json_option, show, show_one
from gateway.core.endpoint import ModelKind

PATH = "/v1/models"

COLUMNS: dict[str, Callable[[Json], object]] = {
    "NAME": lambda model: model["id"],
    "KIND": lambda model: model["kind"],
    "AT ITS BACKENDS": lambda model: model["model"],
    "ALIASES": lambda model: model["settings"].get("aliases", []),
    "SET BY": lambda model: model["source"],
}
options_option = click.option(
    "--settings", "options", metavar="JSON", help="How its requests are treated, as JSON; @FILE reads it from there."
)


@click.group(short_help="Models: list, show, create, update, delete.")
def models() -> None:
    """Models, those of the settings and those that were made while the gateway ran."""


@models.command(name="list")
@asks
@json_option
def list_models(admin: Admin, *, as_json: bool) -> None:
    """List all models."""
    show(list(admin.pages(PATH)), COLUMNS, as_json=as_json)


@models.command(name="show")
@asks
@click.argument("name")
@json_option
def show_model(admin: Admin, *, name: str, as_json: bool) -> None:
    """Show one model."""
    show_one(admin.read(place(PATH, name)), as_json=as_json)


@models.command()
@asks
@click.argument("name")
@click.option("--kind", type=click.Choice([kind.value for kind in ModelKind]), required=True)
@click.option("--model", help="Its name at the backends; by default NAME.")
@options_option
@json_option
def create(admin: Admin, *, name: str, kind: str, model: str | None, options: str | None, as_json: bool) -> None:
    """Offer a model beside those of the settings; give it a backend by `gateway backends create`."""
    body: Json = {"id": name, "kind": kind, "model": model or name}
    if options is not None:
        body["settings"] = read(options)
    show_one(admin.ask("POST", PATH, json=body).json(), as_json=as_json)


@models.command()
@asks
@click.argument("name")
@click.option("--model", help="Its name at the backends.")
@options_option
@json_option
def update(admin: Admin, *, name: str, model: str | None, options: str | None, as_json: bool) -> None:
    """Change what is stated; --settings replaces all that were there."""
    body: Json = {} if model is None else {"model": model}
    if options is not None:
        body["settings"] = read(options)
    amend(admin, place(PATH, name), body, as_json=as_json)


@models.command()
@asks
@click.argument("name")
def delete(admin: Admin, *, name: str) -> None:
    """Offer a model no more; its backends must be gone."""
    remove(admin, place(PATH, name), f"{name} is gone")


def read(options: str) -> Json:
    """The JSON object that was typed, or that a file holds."""
    try:
        text = Path(options[1:]).read_text(encoding="utf-8") if options.startswith("@") else options
        found = orjson.loads(text)
    except OSError as error:
        raise AskError(f"{options[1:]} cannot be read: {error.strerror}") from error
    except (orjson.JSONDecodeError, UnicodeDecodeError) as error:
        raise AskError("--settings is no JSON") from error
    if not isinstance(found, dict):
        raise AskError("--settings is no JSON object")
    return found
