"""Which simulators do these tests share? One of each kind per worker; every test begins with a clean one."""

from collections.abc import Iterator

import pytest

from tests.support.simulators import Simulator


@pytest.fixture(scope="session")
def _chat() -> Iterator[Simulator]:
    with Simulator(
        "chat", "--max-num-seqs", "2", "--enable-auto-tool-choice", "--tool-call-parser", "hermes"
    ) as running:
        yield running


@pytest.fixture(scope="session")
def _rerank() -> Iterator[Simulator]:
    with Simulator("rerank") as running:
        yield running


@pytest.fixture(scope="session")
def _embed() -> Iterator[Simulator]:
    with Simulator("embed") as running:
        yield running


@pytest.fixture
def chat(_chat: Simulator) -> Simulator:
    """A chat server that runs two sequences at once, as fast as it can."""
    return _clean(_chat)


@pytest.fixture
def rerank(_rerank: Simulator) -> Simulator:
    """A reranker."""
    return _clean(_rerank)


@pytest.fixture
def embed(_embed: Simulator) -> Simulator:
    """An embedding server."""
    return _clean(_embed)


def _clean(simulator: Simulator) -> Simulator:
    simulator.clear()
    simulator.set_pace(ttft_ms=0, token_ms=0, spread_ms=0)
    simulator.until_state(running=0)
    return simulator
