"""`gateway keys`: who may ask, for which models, and how much?"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gateway.cli.asking import Admin, Json, asks, fail
from gateway.cli.changing import amend
from gateway.cli.tables import NONE, echo_json, field, json_option, limits, moment, show, show_one
from gateway.cli.wishes import Moment, Organization, limit_options, limits_in, pairs

PATH = "/v1/keys"
HOUR_SECS = 3600
Command = TypeVar("Command", bound=Callable[..., Any])

COLUMNS: dict[str, Callable[[Json], object]] = {
    "ID": lambda key: key["id"],
    "PREFIX": lambda key: key["prefix"],
    "ORGANIZATION": lambda key: key["organization"] or "(its address)",
    "NAME": lambda key: key["name"],
    "STATE": lambda key: key["state"],
    "MODELS": lambda key: field("models", key["models"]),
    "LIMITS": lambda key: limits(key["limits"], key["concurrency"]),
    "EXPIRES": lambda key: moment(key["expires_at"]),
}


@click.group(short_help="API keys: create, list, show, update, revoke, rotate.")
def keys() -> None:
    """API keys of clients. A key is shown once, when it is made; the gateway keeps a hash of it."""


def wishes(command: Command) -> Command:
    """Give a command what may be chosen about a key."""
    options = (
        click.option("--name", help="For people."),
        click.option("--model", "models", multiple=True, help="A model that it may use; several times for several."),
        limit_options,
        click.option("--concurrency", type=click.IntRange(min=0), help="Requests at once; 0: no limit."),
        click.option("--priority", type=int, help="Lower runs first; counts at models with schedules_by_priority."),
        click.option("--metadata", multiple=True, callback=pairs, metavar="NAME=VALUE", help="Your own words."),
        click.option("--expires", type=Moment(), help="30d, 12h, or ISO 8601."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@keys.command()
@asks
@click.option("--org", type=Organization(), help="Whose limits count beside its own; without it the client's address.")
@wishes
@json_option
def create(admin: Admin, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401 -- the options of `wishes`
    """Make a key. Standard output has it alone, once; standard error says what it is."""
    key = admin.ask("POST", PATH, json=body_of(options)).json()
    shown_once(key, as_json=as_json)


@keys.command(name="list")
@asks
@click.option("--org", type=Organization(), help="Keys of this organization alone.")
@click.option("--all", "ended", is_flag=True, help="Revoked and expired ones too.")
@json_option
def list_keys(admin: Admin, *, org: str | None, ended: bool, as_json: bool) -> None:
    """List the keys that work, oldest first."""
    found = [key for key in admin.pages(PATH, organization=org) if ended or key["state"] == "active"]
    show(found, COLUMNS, as_json=as_json)


@keys.command(name="show")
@asks
@click.argument("key_id")
@json_option
def show_key(admin: Admin, *, key_id: str, as_json: bool) -> None:
    """Show what is known of a key."""
    show_one(admin.read(f"{PATH}/{quoted(key_id)}"), as_json=as_json)


@keys.command()
@asks
@click.argument("key_id")
@click.option("--org", type=Organization(), help="Whose limits count beside its own.")
@wishes
@click.option("--no-org", is_flag=True, help="The client's address stands for its organization.")
@click.option("--all-models", is_flag=True, help="It may use every model.")
@click.option("--no-expiry", is_flag=True, help="It works until it is revoked.")
@json_option
def update(admin: Admin, *, key_id: str, as_json: bool, **options: Any) -> None:  # noqa: ANN401 -- the options of `wishes`
    """Change what is stated, and nothing else; in force from the next request on."""
    body = body_of(options)
    for flag, name in (("no_org", "organization"), ("all_models", "models"), ("no_expiry", "expires_at")):
        if options[flag]:
            if name in body:
                raise click.UsageError(f"--{flag.replace('_', '-')} contradicts another option")
            body[name] = None
    amend(admin, f"{PATH}/{quoted(key_id)}", body, as_json=as_json)


@keys.command()
@asks
@click.argument("key_id")
@json_option
def revoke(admin: Admin, *, key_id: str, as_json: bool) -> None:
    """Refuse the key from the next request on, for ever."""
    show_one(admin.ask("POST", f"{PATH}/{quoted(key_id)}/revoke").json(), as_json=as_json)


@keys.command()
@asks
@click.argument("key_id")
@click.option("--overlap-hours", type=click.IntRange(0, 2160), default=24, show_default=True, help="Both work so long.")
@json_option
def rotate(admin: Admin, *, key_id: str, overlap_hours: int, as_json: bool) -> None:
    """Make a key like this one, which ends when the overlap is over."""
    body = {"overlap_seconds": overlap_hours * HOUR_SECS}
    key = admin.change("POST", f"{PATH}/{quoted(key_id)}", body, below="/rotate").json()
    shown_once(key, as_json=as_json)


def body_of(options: Json) -> Json:
    """What the API takes for the options that were typed."""
    body: Json = {name: options[name] for name in ("name", "concurrency", "priority") if options[name] is not None}
    if options["org"]:
        body["organization"] = options["org"]
    if options["models"]:
        body["models"] = list(options["models"])
    if options["metadata"]:
        body["metadata"] = options["metadata"]
    if options["expires"]:
        body["expires_at"] = options["expires"]
    if chosen := limits_in(options):
        body["limits"] = chosen
    return body


def shown_once(key: Json, *, as_json: bool) -> None:
    """The key to standard output, so that a script can take it; what people want to know beside it, elsewhere."""
    if as_json:
        echo_json(key)
        return
    click.echo(key["key"])
    whose = key["organization"] or "its client's address"
    own = limits(key["limits"], key["concurrency"])
    own = "no limits of its own" if own == NONE else own
    click.echo(f"{key['id']} for {whose}, {own}: keep it, it is shown this once.", err=True)


def quoted(key_id: str) -> str:
    """An id as part of a path; one that is none is refused here."""
    if not key_id.startswith("key_") or not key_id.isascii() or not key_id.replace("_", "").isalnum():
        fail(f"{key_id!r} is no key's id: `gateway keys list` has them")
    return key_id
