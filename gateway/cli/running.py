"""`gateway state`, `quotas`, `limits` and `cache`: what happens now, within which limits, and what is kept?"""

import click

from gateway.cli.asking import Admin, asks
from gateway.cli.tables import echo_json, json_option, show_one, table


@click.command(short_help="What runs and waits now, and how the backends fare.")
@asks
@json_option
def state(admin: Admin, *, as_json: bool) -> None:
    """Print what runs and waits on this host, by organization, and how its backends fare."""
    found = admin.read("/v1/state")
    if as_json:
        echo_json(found)
        return
    click.echo(f"{found['in_flight']} in flight, {found['queued']} queued")
    if found["organizations"]:
        rows = [(one["organization"], one["in_flight"], one["queued"]) for one in found["organizations"]]
        click.echo(table(("ORGANIZATION", "IN FLIGHT", "QUEUED"), rows))
    fields = ("id", "state", "reason", "circuit", "in_flight", "drained")
    rows = [tuple(one[name] for name in fields) for one in found["backends"]]
    click.echo(table(("BACKEND", "STATE", "REASON", "CIRCUIT", "IN FLIGHT", "DRAINED"), rows))


@click.command(short_help="What is left of the organizations' limits.")
@asks
@json_option
def quotas(admin: Admin, *, as_json: bool) -> None:
    """Print how the limits stand of organizations that have used something this month, or have limits of their own."""
    found = list(admin.pages("/quotas"))
    if as_json:
        echo_json(found)
        return
    rows = [
        (one["organization"], each["limit"].replace("_", " "), each["allowed"], each["used"], each["remaining"])
        for one in found
        for each in one["standings"]
    ]
    click.echo(table(("ORGANIZATION", "LIMIT", "ALLOWED", "USED", "LEFT"), rows))


@click.command(short_help="The limits in force where nothing else is said.")
@asks
@json_option
def limits(admin: Admin, *, as_json: bool) -> None:
    """Print the settings' limits, which organizations and keys may have beside or instead of their own."""
    found = admin.read("/v1/limits")
    if as_json:
        echo_json(found)
        return
    found["limits"] = found.pop("defaults")
    show_one(found, as_json=False)


@click.group(short_help="Answers that are kept: flush.")
def cache() -> None:
    """The answers that the gateway keeps for identical requests."""


@cache.command()
@asks
@json_option
def flush(admin: Admin, *, as_json: bool) -> None:
    """Drop them all, on this host."""
    found = admin.ask("POST", "/v1/cache/flush").json()
    if as_json:
        echo_json(found)
    else:
        click.echo(f"{found['flushed']} answers dropped")
