"""`gateway serve`: how is the gateway started?"""

import os
import signal
import sys
from types import FrameType
from typing import Any

import click

from gateway.cli.descriptors import allow_descriptors
from gateway.server.process import WorkerProcess

DEFAULT_FACTORY = "gateway.app:build"


@click.command(short_help="Start the gateway.")
@click.option("--host", help="Address to listen on (GATEWAY_HOST).")
@click.option("--port", type=int, help="Port to listen on; 0: any free one (GATEWAY_PORT).")
@click.option("--workers", type=int, help="Worker processes (GATEWAY_WORKERS).")
@click.option("--app", default=DEFAULT_FACTORY, hidden=True, help="module:callable that makes the application.")
def serve(host: str | None, port: int | None, workers: int | None, app: str) -> None:
    """Start the gateway; Ctrl-C or SIGTERM ends it when its requests have finished."""
    end_early_when_told()
    allow_descriptors()
    options: dict[str, Any] = {"gateway_host": host, "gateway_port": port, "gateway_workers": workers}
    with WorkerProcess(app) as first:
        from gateway.cli.supervise import supervise  # noqa: PLC0415 -- while the first worker loads the application

        mistakes = supervise(first, app, {name: value for name, value in options.items() if value is not None})
    for line in mistakes:
        click.echo(f"gateway: {line}", err=True)
    sys.exit(1 if mistakes else 0)


def end_early_when_told() -> None:
    """Answer signals until the supervisor does: there is no request yet that could be waited for."""

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        # Not by an exception, which would come up within whatever is being imported. A worker that was born sees the
        # channel's end and goes.
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, lambda *_: None)  # what a reload would read is about to be read
