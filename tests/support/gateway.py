"""How does a test get a real gateway? A supervisor and its workers as processes, on ports of the kernel's choice."""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import orjson

KEY = "sk-test-0123456789"
BACKEND_KEY = "INTERNAL-0123456789"
START_SECS = 30.0
STOP_SECS = 30.0
PATIENCE_SECS = 30.0
"""How long a test waits for what must come. What is shown is that it comes: on a busy machine all of it comes late."""


def free_port() -> int:
    """A port that was free a moment ago, below those that the kernel gives to outgoing connections.

    Among the kernel's own it would be taken again, now and then, before the gateway has bound it. The module's own
    generator would not do: Hypothesis seeds it, with the same number in every process of tests.
    """
    drawn = random.SystemRandom()
    while True:
        port = drawn.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE_SECS, what: str = "") -> Any:
    """The first truthy answer of `condition`; fails the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(what or f"{condition} did not come true within {seconds} s")
        time.sleep(0.01)


class Gateway:
    """One `gateway serve`, with what a test asks of it.

    Args:
        folder: where its state and log go.
        settings: environment of the gateway; everything else of the test's environment is kept out.

    Attributes:
        within: a command that runs the one behind it in surroundings of its own, in its own place.
    """

    within: tuple[str, ...] = ()

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.port = free_port()
        self.metrics_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log_path = folder / "gateway.log"
        # One for all questions: making a client costs a look through every certificate authority.
        self._visitor = httpx.Client(trust_env=False, verify=False, headers={"connection": "close"})  # noqa: S501 -- no TLS here
        # Short, because unix sockets stand in it, and on tmpfs as in production.
        self._limiter = tempfile.TemporaryDirectory(prefix="gw-", dir="/dev/shm")
        environment = {
            "PATH": os.environ["PATH"],  # noqa: TID251 -- a child needs it
            "GATEWAY_API_KEY": KEY,
            "BACKEND_API_KEY": BACKEND_KEY,
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": self.port,
            "GATEWAY_WORKERS": 1,
            "METRICS_PORT": self.metrics_port,
            "LIMITER_PATH": self._limiter.name,
            "LOG_FORMAT": "json",
            "CACHE_TTL_SECS": 0,  # what a test asks twice is to reach the backends twice, unless it is about that
            **settings,
        }
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
                [*self.within, sys.executable, "-m", "gateway", "serve"],
                env={name: str(value) for name, value in environment.items()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )

    def __enter__(self) -> Self:
        try:
            wait_until(self._answers, START_SECS, "the gateway did not start")
        except AssertionError:
            self.stop()
            raise AssertionError(f"the gateway did not start:\n{self.log_text()}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def limiter_path(self) -> Path:
        """Where the state is that its workers share."""
        return Path(self._limiter.name)

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self._process.pid

    def worker_pids(self) -> list[int]:
        """The supervisor's living children that serve requests, oldest first."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [pid for pid in map(int, children) if b"worker" in _command_line(pid)]

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client with the key."""
        return httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {KEY}"}, timeout=30, trust_env=False, **options
        )

    def log_text(self) -> str:
        """Everything the gateway has written so far."""
        return self._log_path.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's records of one event so far."""
        whole = self.log_text().rpartition("\n")[0]  # the last line may still be on its way
        lines = [line for line in whole.splitlines() if line.startswith("{")]
        records = [orjson.loads(line) for line in lines]
        return [record for record in records if record.get("event") == name]

    def access_lines(self) -> list[dict[str, Any]]:
        """The access log's records so far."""
        return self.events("request")

    def access_line(self, request_id: str) -> dict[str, Any]:
        """The one record of one request; waits for it."""
        found = wait_until(lambda: [line for line in self.access_lines() if line["request_id"] == request_id])
        assert len(found) == 1, found
        record: dict[str, Any] = found[0]
        return record

    def metrics(self) -> dict[str, float]:
        """Every sample that `/metrics` shows, by its name and labels as they stand there."""
        text = self._visitor.get(f"http://127.0.0.1:{self.metrics_port}/metrics").text
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def well(self) -> bool:
        """Whether every backend is in rotation, whatever its circuit lets through."""
        return self.states() <= {"healthy", "busy"}

    def ready(self) -> bool:
        """Whether a balancer is told to send requests here: the backends are well, and API keys are known."""
        return self._visitor.get(f"{self.url}/ready").is_success

    def states(self) -> set[str]:
        """In which states its backends are."""
        return {backend["state"] for backend in self.report()["backends"]}

    def report(self) -> dict[str, Any]:
        """What `/health/detailed` says."""
        answer = self._visitor.get(f"{self.url}/health/detailed", headers={"authorization": f"Bearer {KEY}"})
        report: dict[str, Any] = answer.json()
        return report

    def idle(self) -> bool:
        """Whether no slot is held and nobody waits."""
        samples = self.metrics()
        return not samples.get("gateway_in_flight_requests") and not samples.get("gateway_queued_requests")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the gateway; returns its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_SECS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise AssertionError(f"the gateway did not stop:\n{self.log_text()[-3000:]}") from None
        self._limiter.cleanup()
        self._visitor.close()
        return self._process.returncode

    def signal(self, how: signal.Signals) -> None:
        """Send the supervisor a signal and do not wait."""
        self._process.send_signal(how)

    def wait(self, seconds: float) -> int:
        """Wait for the end; returns the exit code."""
        return self._process.wait(seconds)

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError("the gateway ended")
        try:
            return self._visitor.get(f"{self.url}/health").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it has ended meanwhile


class RawClient:
    """A client that is in full control of its socket: it may stall, break off, or not read."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_SECS)
        self.socket.connect(("127.0.0.1", port))
        self.received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def post(self, path: str, body: dict[str, Any], *, key: str = KEY, headers: str = "") -> Self:
        """Send one whole JSON request."""
        data = orjson.dumps(body)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
        )
        self.socket.sendall(head.encode() + data)
        return self

    def send(self, data: bytes) -> Self:
        """Send bytes as they are."""
        self.socket.sendall(data)
        return self

    def until(self, mark: bytes) -> bytes:
        """Read until `mark` has come; returns everything received so far."""
        while mark not in self.received:
            data = self.socket.recv(65536)
            if not data:
                raise AssertionError(f"closed before {mark!r} came: {self.received[-500:]!r}")
            self.received += data
        return self.received

    def rest(self) -> bytes:
        """Read until the connection ends; returns everything received so far."""
        try:
            while data := self.socket.recv(65536):
                self.received += data
        except ConnectionResetError:
            pass
        return self.received

    def readable(self, seconds: float) -> bool:
        """Whether something arrives within that time."""
        return bool(select.select([self.socket], [], [], seconds)[0])

    def reset(self) -> None:
        """Leave at once, with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.socket.close()


@contextmanager
def in_threads(count: int, work: Callable[[int], None]) -> Iterator[list[BaseException]]:
    """Run `work(0..count-1)` side by side; leaving the scope joins them. Yields the list that failures go to."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as failure:  # noqa: BLE001 -- carried to the test's own thread
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    yield failures
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread of the test's load does not end"
