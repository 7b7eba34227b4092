"""`gateway healthcheck`: does a server answer? For a container that has no curl."""

import sys

import click
import httpx

TIMEOUT_SECS = 5.0


@click.command(short_help="Ask a URL whether it answers.")
@click.argument("url", default="http://127.0.0.1:9000/health")
def healthcheck(url: str) -> None:
    """Exit with 0 when URL answers with a 2xx within 5 seconds, else with 1 and a reason."""
    try:
        status = httpx.get(url, timeout=TIMEOUT_SECS, trust_env=False).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        click.echo(f"{url}: {error}", err=True)
        sys.exit(1)
    if not httpx.codes.is_success(status):
        click.echo(f"{url}: {status}", err=True)
        sys.exit(1)
