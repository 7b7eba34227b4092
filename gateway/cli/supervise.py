"""What does `gateway serve` do while its first worker loads? It reads the settings; then it supervises."""

import sys
from collections.abc import Mapping
from typing import Any

import uvloop

from gateway.observability.log_writer import LogWriter
from gateway.observability.logs import build_logger
from gateway.server.listening import CannotListenError
from gateway.server.process import WorkerProcess
from gateway.server.supervisor import Endpoints, Supervisor, WorkerFailedError
from gateway.settings import ConfigurationError, Settings, ignored, load


def supervise(first: WorkerProcess, app: str, options: Mapping[str, Any]) -> list[str]:
    """Serve until told to stop; lines for the operator when that cannot be.

    Args:
        first: a worker process that loads `app`.
        app: `module:callable` that makes the application.
        options: settings from the command line.
    """
    try:
        run(load(**options), app, first)
    except (ConfigurationError, CannotListenError, WorkerFailedError) as error:
        return str(error).splitlines()
    return []


def run(settings: Settings, app: str, first: WorkerProcess) -> None:
    """Supervise, and log what happens to the workers."""
    writer = LogWriter(sys.stderr.fileno(), on_drop=lambda: None)
    logger = build_logger(settings, writer)
    for sentence in ignored():
        logger.warning("setting_ignored", why=sentence)

    def announce(endpoints: Endpoints) -> None:
        url = f"http://{endpoints.host}:{endpoints.port}"
        logger.info("listening", url=url, workers=settings.gateway_workers, metrics_port=endpoints.metrics)

    async def serve() -> None:
        await Supervisor(settings, factory=app, first=first, on_ready=announce).run()

    try:
        uvloop.run(serve())
    finally:
        writer.close()
