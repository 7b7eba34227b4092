"""Where do the servers of the contract come from? Simulators start when first asked for, real ones run already."""

import fcntl
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.contract.roles import KEY, REAL_KEY, ROLES, real_url
from tests.contract.server import Server
from tests.support.simulators import Simulator

HERE = Path(__file__).parent

# Slow enough for a test to see a request run, about as fast as the tiny models of a real server.
PACE = ("--sim-ttft-ms", "1", "--sim-token-ms", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what needs a role on one xdist worker, chat's tests file by file: starting a simulator takes a second."""
    for item in items:
        parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        if HERE in item.path.parents and "server" in parameters:
            _, role = parameters["server"]
            item.add_marker(pytest.mark.xdist_group(item.path.stem if role == "chat" else role))


class Simulated(dict[str, Server]):
    """The simulators of this worker by role; each starts when it is first asked for and runs on the given stack."""

    def __init__(self, running: ExitStack) -> None:
        super().__init__()
        self._running = running

    def __missing__(self, name: str) -> Server:
        role = ROLES[name]
        simulator = self._running.enter_context(
            Simulator([*role.argv], *PACE, "--api-key", KEY, env=dict(role.environment))
        )
        self[name] = Server(simulator.url, KEY, role.model)
        self._running.callback(self[name].close)
        return self[name]


@pytest.fixture(scope="session")
def simulated() -> Iterator[Simulated]:
    """All are stopped when the worker's tests are done."""
    with ExitStack() as running:
        yield Simulated(running)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server that `against` names."""
    implementation, name = request.param
    if implementation == "simulator":
        yield request.getfixturevalue("simulated")[name]
        return
    url = real_url(ROLES[name])
    assert url is not None
    # One real server serves all xdist workers: tests that watch its gauges take turns.
    lock = Path(tempfile.gettempdir()) / f"contract-{hashlib.sha256(url.encode()).hexdigest()[:16]}.lock"
    with lock.open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        real = Server(url, REAL_KEY, ROLES[name].model)
        yield real
        real.close()
