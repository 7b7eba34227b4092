"""`gateway serve`: how is the gateway started?"""

import sys
from typing import Any

import click
import uvloop

from gateway.observability.log_writer import LogWriter
from gateway.observability.logs import build_logger
from gateway.server.listening import CannotListenError
from gateway.server.supervisor import Endpoints, Supervisor, WorkerFailedError
from gateway.settings import ConfigurationError, Settings, ignored, load

DEFAULT_FACTORY = "gateway.app:build"


@click.command(short_help="Start the gateway.")
@click.option("--host", help="Address to listen on (GATEWAY_HOST).")
@click.option("--port", type=int, help="Port to listen on; 0: any free one (GATEWAY_PORT).")
@click.option("--workers", type=int, help="Worker processes (GATEWAY_WORKERS).")
@click.option("--app", default=DEFAULT_FACTORY, hidden=True, help="module:callable that makes the application.")
def serve(host: str | None, port: int | None, workers: int | None, app: str) -> None:
    """Start the gateway; Ctrl-C or SIGTERM ends it when its requests have finished."""
    options: dict[str, Any] = {"gateway_host": host, "gateway_port": port, "gateway_workers": workers}
    try:
        run(load(**{name: value for name, value in options.items() if value is not None}), app)
    except (ConfigurationError, CannotListenError, WorkerFailedError) as error:
        for line in str(error).splitlines():
            click.echo(f"gateway: {line}", err=True)
        sys.exit(1)


def run(settings: Settings, app: str) -> None:
    """Supervise until told to stop, and log what happens to the workers."""
    writer = LogWriter(sys.stderr.fileno(), on_drop=lambda: None)
    logger = build_logger(settings, writer)
    for sentence in ignored():
        logger.warning("setting_ignored", why=sentence)

    def announce(endpoints: Endpoints) -> None:
        url = f"http://{endpoints.host}:{endpoints.port}"
        logger.info("listening", url=url, workers=settings.gateway_workers, metrics_port=endpoints.metrics)

    async def supervise() -> None:
        await Supervisor(settings, factory=app, on_ready=announce).run()

    try:
        uvloop.run(supervise())
    finally:
        writer.close()
