"""`gateway check`: is a configuration whole, what does it amount to, and what about it is probably not meant?"""

import sys

import click

from gateway.cli.check.compose_file import COMPOSE_FILE
from gateway.cli.check.doubts import doubts
from gateway.cli.check.explained import fleet, limits, quotas, table, time_outs
from gateway.cli.check.exposure import exposures
from gateway.cli.check.neighbours import Neighbours
from gateway.cli.check.outages import breaker, health
from gateway.cli.check.surroundings import CONTAINER_MARKS, told, unfit
from gateway.elsewhere import COMPOSE_SETS
from gateway.settings import ConfigurationError, ignored, load


@click.command(short_help="Validate and explain the configuration.")
def check() -> None:
    """Validate the configuration and explain it, without starting anything.

    `gateway doctor` looks at all that stands around it: the host, Docker, the GPUs, the certificate, what runs.
    """
    try:
        settings = load()
    except ConfigurationError as error:
        for mistake in error.mistakes:
            click.echo(f"gateway: {mistake}", err=True)
        sys.exit(1)
    neighbours = Neighbours.at_hand()
    found = [
        *doubts(settings),
        *exposures(settings),
        *neighbours.findings(settings),
        *unfit(settings),
        *ignored(),
    ]
    lines = [
        *told(*CONTAINER_MARKS),
        "",
        *limits(settings),
        "",
        *quotas(settings),
        "",
        *fleet(settings),
        "",
        *health(settings),
        "",
        *breaker(settings),
        "",
        *time_outs(settings),
        *neighbours.compared(),
        *_compose(),
        "",
        *table(settings),
        *(["", "Worth a second look:", *(f"  {words}" for words in found)] if found else []),
    ]
    click.echo("\n".join(line.rstrip() for line in lines))


def _compose() -> list[str]:
    """What a configuration for Compose says in vain, where one is at hand."""
    if not COMPOSE_FILE.is_file():
        return []
    return ["", f"{COMPOSE_FILE} sets these itself: {', '.join(COMPOSE_SETS)}; other values count elsewhere only."]
