"""Where do the servers of the contract come from? Simulators start when first asked for, real ones run already."""

import fcntl
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.roles import KEY, REAL_KEY, ROLES, real_url
from tests.contract.server import Server
from tests.support.simulators import Simulators


class Simulated(dict[str, Server]):
    """The simulators of this worker by role."""

    def __init__(self, simulators: Simulators) -> None:
        super().__init__()
        self._simulators = simulators

    def __missing__(self, name: str) -> Server:
        role = ROLES[name]
        simulator = self._simulators.start(*role.argv, "--api-key", KEY, environment=dict(role.environment))
        self[name] = Server(simulator.url, KEY, role.model)
        return self[name]


@pytest.fixture(scope="session")
def simulated() -> Iterator[Simulated]:
    """All are stopped when the worker's tests are done."""
    with Simulators() as simulators:
        servers = Simulated(simulators)
        yield servers
        for server in servers.values():
            server.close()


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
