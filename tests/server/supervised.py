"""How does a test get a supervisor with workers? `gateway serve` as a process, with an application of our own."""

import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from gateway.settings import names

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "GATEWAY_API_KEY": "sk-of-a-test",
    "BACKEND_API_KEY": "key-of-a-test",
    "CHAT_BACKENDS": "http://127.0.0.1:1",
    "GATEWAY_PORT": "0",
    "METRICS_PORT": "0",
    "GATEWAY_WORKERS": "2",
    "LOG_FORMAT": "json",
}


def command(app: str) -> list[str]:
    """`gateway serve`; `app` is a name in tests/server/apps.py, or a whole `module:callable`."""
    factory = app if ":" in app else f"tests.server.apps:{app}"
    return [sys.executable, "-m", "gateway", "serve", "--app", factory]


def environment(**settings: str) -> dict[str, str]:
    """That of a gateway with these settings; an empty one is as good as none."""
    others = {name: value for name, value in os.environ.items() if name not in names()}  # noqa: TID251 -- handed on
    return {**others, **SETTINGS, **settings}


@dataclass
class Gateway:
    """A running supervisor; `log` is a file that all its processes write."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str
    metrics_port: int
    state: Path

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return host, int(port)

    def ask(self, path: str = "/") -> str:
        return httpx.get(self.url + path, trust_env=False).text

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The supervisor's log so far, or its events of one name."""
        whole = self.log.read_text().rpartition("\n")[0]  # the last line may still be on its way
        events = [orjson.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [event for event in events if name in {None, event["event"]}]

    def workers(self) -> set[int]:
        listing = subprocess.run(  # noqa: S603 -- fixed words
            ["ps", "--ppid", str(self.process.pid), "-o", "pid="],  # noqa: S607 -- wherever ps is
            capture_output=True,
            text=True,
            check=False,
        )
        return {int(pid) for pid in listing.stdout.split()}

    def figure(self, name: str) -> float:
        """A sample of /metrics by its name and labels as they stand there."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", trust_env=False).text
        return float(dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))[name])

    def reload(self) -> None:
        """Ask for one by the signal, and do not wait."""
        self.process.send_signal(signal.SIGHUP)

    def reloaded(self, times: int = 1) -> dict[str, Any]:
        """Ask for a reload, and wait for what is logged of it, the `times`th of its kind."""
        self.reload()
        await_that(lambda: len(self.events("reloaded") + self.events("not_reloaded")) >= times)
        return (self.events("reloaded") + self.events("not_reloaded"))[-1]

    def refuses(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(self.address) == errno.ECONNREFUSED


def await_that(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until it holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def serving(tmp_path: Path, app: str = "build", *, cwd: Path = ROOT, **settings: str) -> Iterator[Gateway]:
    """A gateway that listens; `cwd` is where its .env and its modules are looked for."""
    log = tmp_path / "log"
    with (
        tempfile.TemporaryDirectory(prefix="gw-") as state,  # short: the names of unix sockets stand behind it
        log.open("wb") as stderr,
        subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
            command(app),
            cwd=cwd,
            env=environment(**{"LIMITER_PATH": state, "DATA_PATH": f"{state}/data", **settings}),
            stderr=stderr,
            start_new_session=True,  # a process group of its own, as a terminal gives to a command
        ) as process,
    ):
        try:
            await_that(lambda: b'"listening"' in log.read_bytes() or process.poll() is not None)
            started = next(line for line in log.read_text().splitlines() if '"listening"' in line)
            record = orjson.loads(started)
            yield Gateway(process, log, record["url"], record["metrics_port"], Path(state))
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


class Stream:
    """A stream that has begun: its worker's pid, and its further lines."""

    def __init__(self, response: httpx.Response) -> None:
        self.worker = int(response.headers["x-worker"])
        self._lines = response.iter_lines()

    def __next__(self) -> str:
        return next(self._lines)

    def last(self) -> str:
        """The line before the stream's proper end."""
        return list(self._lines)[-1]


@contextmanager
def streaming(gateway: Gateway, until: Path) -> Iterator[Stream]:
    """A stream that goes on until a file exists; its first line has come."""
    with httpx.stream("GET", f"{gateway.url}/stream?{until}", trust_env=False, timeout=30) as response:
        stream = Stream(response)
        assert next(stream) == "part"
        yield stream


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


COUNTER = 'gateway_client_disconnects_total{phase="arrived"}'
GAUGE = "gateway_in_flight_requests"
"""What tests/server/apps.py counts: a request, and a worker."""
