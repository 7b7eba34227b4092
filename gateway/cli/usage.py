"""`gateway usage`: who used how much?"""

from collections.abc import Callable
from itertools import islice

import click

from gateway.cli.asking import Admin, Json, asks, known
from gateway.cli.tables import json_option, moment, show
from gateway.cli.wishes import Organization

PATH = "/v1/usage"
BY = {"org": "organization", "key": "key", "model": "model", "day": "day"}
"""What may be typed, and what the API calls it."""
SHARED = "(GATEWAY_API_KEY)"


@click.group(invoke_without_command=True, short_help="Requests and tokens by org, key, model or day.")
@asks
@click.option("--by", type=click.Choice(list(BY)), default="org", show_default=True)
@click.option("--from", "first", metavar="DATE", help="The first day, as 2026-11-01; by default the month's.")
@click.option("--to", "last", metavar="DATE", help="The last day; by default today.")
@click.option("--org", type=Organization(), help="This organization's alone.")
@click.option("--key", "key_id", help="This key's alone, by its id.")
@click.option("--csv", "as_csv", is_flag=True, help="For a spreadsheet.")
@json_option
def usage(  # noqa: PLR0913 -- click passes each option by its name
    admin: Admin,
    *,
    by: str,
    first: str | None,
    last: str | None,
    org: str | None,
    key_id: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print what was used, this month unless days are stated; records are booked within seconds."""
    which = known({"by": BY[by], "from": first, "to": last, "organization": org, "key": key_id})
    if as_csv:
        click.echo(admin.ask("GET", PATH, params={**which, "format": "csv"}).text, nl=False)
        return
    columns: dict[str, Callable[[Json], object]] = {
        by.upper(): lambda line: line["heading"] or SHARED,
        "REQUESTS": lambda line: line["requests"],
        "PROMPT TOKENS": lambda line: line["prompt_tokens"],
        "COMPLETION TOKENS": lambda line: line["completion_tokens"],
        "TOKENS": lambda line: line["total_tokens"],
    }
    show(list(admin.pages(PATH, **which)), columns, as_json=as_json)


@usage.command(short_help="Single requests, newest first.")
@asks
@click.option("--day", metavar="DATE", help="Of this day alone, as 2026-11-21; by default of this month.")
@click.option("--org", type=Organization(), help="This organization's alone.")
@click.option("--key", "key_id", help="This key's alone, by its id.")
@click.option("--last", default=50, show_default=True, type=click.IntRange(min=1), help="So many.")
@json_option
def requests(admin: Admin, *, day: str | None, org: str | None, key_id: str | None, last: int, as_json: bool) -> None:
    """Print single requests and what they took, as long as USAGE_RETENTION_DAYS keeps them."""
    which = known({"from": day, "to": day, "organization": org, "key": key_id})
    columns: dict[str, Callable[[Json], object]] = {
        "ENDED": lambda one: moment(one["ended_at"]),
        "REQUEST": lambda one: one["request_id"],
        "ORG": lambda one: one["organization"],
        "KEY": lambda one: one["key_id"] or SHARED,
        "MODEL": lambda one: one["model"],
        "STATUS": lambda one: one["status"],
        "OUTCOME": lambda one: one["outcome"],
        "PROMPT TOKENS": lambda one: one["prompt_tokens"],
        "COMPLETION TOKENS": lambda one: one["completion_tokens"],
    }
    show(list(islice(admin.pages(f"{PATH}/requests", **which), last)), columns, as_json=as_json)
