"""Who answers Prometheus? The supervisor, for all workers together, so that a scrape blocks no request."""

import os
import shutil
from pathlib import Path
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from gateway.server.listening import CannotListenError

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus_client in a worker finds the directory; it must be set before its first import."""


class MetricsExporter:
    """The workers' figures, kept in files on tmpfs that every worker writes and the supervisor reads.

    Args:
        directory: emptied at the start: figures of an earlier run are nobody's.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server: WSGIServer | None = None
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a worker needs in its environment to be counted."""
        return {VARIABLE: str(self._directory)}

    def serve(self, host: str, port: int) -> int:
        """Answer `GET /metrics` from a thread of this process; the port that was bound.

        Raises:
            CannotListenError: the port is taken.
        """
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._directory))  # type: ignore[no-untyped-call]
        try:
            self._server, _ = start_http_server(port, host, registry)
        except OSError as error:
            raise CannotListenError(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
        return int(self._server.server_port)

    def forget(self, pid: int) -> None:
        """Drop a dead worker's live gauges; its counters stay, or the sums would fall."""
        mark_process_dead(pid, str(self._directory))  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Stop answering and remove the files."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        shutil.rmtree(self._directory, ignore_errors=True)


def directory_for(port: int) -> Path:
    """This gateway's directory: the listening port is its own, so no other living gateway uses it."""
    shared_memory = Path("/dev/shm")  # noqa: S108 -- made with mode 0700, and emptied at the start
    base = shared_memory if shared_memory.is_dir() else Path("/tmp")  # noqa: S108 -- the same
    return base / f"inference-gateway-metrics-{os.getuid()}-{port}"
