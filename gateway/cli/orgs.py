"""`gateway orgs`: which organizations have limits of their own, and how do they stand?"""

from collections.abc import Callable
from typing import Any

import click

from gateway.cli.asking import Admin, Json, asks
from gateway.cli.changing import amend, place, remove
from gateway.cli.tables import cell, echo_json, json_option, limits, moment, show, show_one, table
from gateway.cli.wishes import Organization, limit_options, limits_in

PATH = "/v1/organizations"
OPT_OUT = "Keep no text of its requests in the audit trail, whatever AUDIT_LOG says."

COLUMNS: dict[str, Callable[[Json], object]] = {
    "ORGANIZATION": lambda row: row["id"],
    "LIMITS": lambda row: limits(row["limits"]),
    "OPTED OUT": lambda row: row["audit_opt_out"],
    "CREATED": lambda row: moment(row["created_at"]),
}


@click.group(short_help="Organizations: create, list, show, update, delete.")
def orgs() -> None:
    """Organizations, which share the limits of all their keys. `acme` stands for `org:acme`; addresses are `ip:...`."""


@orgs.command()
@asks
@click.argument("organization", type=Organization())
@limit_options
@click.option("--audit-opt-out", is_flag=True, help=OPT_OUT)
@json_option
def create(admin: Admin, *, organization: str, audit_opt_out: bool, as_json: bool, **options: Any) -> None:  # noqa: ANN401 -- limits
    """Give an organization limits of its own; those that are not stated are the defaults as they are now."""
    body = {"id": organization, "limits": limits_in(options) or None, "audit_opt_out": audit_opt_out}
    show_one(admin.ask("POST", PATH, json=body).json(), as_json=as_json)


@orgs.command(name="list")
@asks
@json_option
def list_orgs(admin: Admin, *, as_json: bool) -> None:
    """List the organizations that have limits or choices of their own."""
    show(list(admin.pages(PATH)), COLUMNS, as_json=as_json)


@orgs.command(name="show")
@asks
@click.argument("organization", type=Organization())
@json_option
def show_org(admin: Admin, *, organization: str, as_json: bool) -> None:
    """Show which limits an organization has, and what is left of them."""
    quota = admin.read(place("/quota", organization))
    if as_json:
        echo_json(quota)
        return
    click.echo(f"{quota['organization']}: " + ("its own limits" if quota["source"] == "own" else "the default limits"))
    rows = [
        (one["limit"].replace("_", " "), one["allowed"], one["used"], one["remaining"], moment(one["resets_at"]))
        for one in quota["standings"]
    ]
    click.echo(table(("LIMIT", "ALLOWED", "USED", "LEFT", "RENEWS"), rows) if rows else cell("no limits"))


@orgs.command()
@asks
@click.argument("organization", type=Organization())
@limit_options
@click.option("--audit-opt-out/--no-audit-opt-out", default=None, help=OPT_OUT)
@click.option("--defaults", is_flag=True, help="The settings' default limits, whatever they become.")
@json_option
def update(
    admin: Admin,
    *,
    organization: str,
    audit_opt_out: bool | None,
    defaults: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 -- the limits
) -> None:
    """Change what is stated, and nothing else; in force from the next request on."""
    body: Json = {} if audit_opt_out is None else {"audit_opt_out": audit_opt_out}
    if chosen := limits_in(options):
        body["limits"] = chosen
    if defaults:
        if chosen:
            raise click.UsageError("--defaults contradicts a limit")
        body["limits"] = None
    amend(admin, place(PATH, organization), body, as_json=as_json)


@orgs.command()
@asks
@click.argument("organization", type=Organization())
def delete(admin: Admin, *, organization: str) -> None:
    """Take from an organization what it had of its own: it has the default limits then. Its keys stay."""
    remove(admin, place(PATH, organization), f"{organization} has the default limits now")
