"""What do the end-to-end tests run against? Real gateway processes in front of real simulator processes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gateway import BACKEND_KEY, Gateway, wait_until
from tests.support.simulators import Simulator

MakeGateway = Callable[..., Gateway]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The simulated vLLM servers of one module."""

    servers: dict[str, Simulator]

    def __getitem__(self, name: str) -> Simulator:
        return self.servers[name]

    def settings(self) -> dict[str, object]:
        """What tells a gateway of them."""
        chat = ",".join(server.url for name, server in self.servers.items() if name.startswith("chat"))
        rest = {
            f"{name.upper()}_BACKEND": server.url
            for name, server in self.servers.items()
            if not name.startswith("chat")
        }
        return {"CHAT_BACKENDS": chat, **rest}

    def clear(self) -> None:
        """Take back what a test switched on."""
        for server in self.servers.values():
            server.clear()
            server.set_pace(ttft_ms=0, token_ms=0, spread_ms=0)

    def requests(self) -> int:
        """How many requests have reached any of them, probes aside."""
        return sum(len(server.ledger()) for server in self.servers.values())


def start_fleet(stack: ExitStack, *names: str) -> Fleet:
    """Simulators of these names: `chat0`, `chat1`, `text2sql`, `embed`, `rerank`."""
    tools = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")

    def start(name: str) -> Simulator:
        kind = name.rstrip("01")
        flags = (*(tools if kind == "chat" else ()), "--max-model-len", "8192", "--api-key", BACKEND_KEY)
        return stack.enter_context(Simulator(kind, *flags))

    # Side by side: each is a process that imports for most of a second.
    with ThreadPoolExecutor() as pool:
        return Fleet(dict(zip(names, pool.map(start, names), strict=True)))


@pytest.fixture(scope="module")
def chat_servers() -> Iterator[Fleet]:
    """Two chat replicas, for all tests of a module."""
    with ExitStack() as stack:
        yield start_fleet(stack, "chat0", "chat1")


@pytest.fixture(scope="module")
def all_servers() -> Iterator[Fleet]:
    """All five servers of the house, for all tests of a module."""
    with ExitStack() as stack:
        yield start_fleet(stack, "chat0", "chat1", "text2sql", "embed", "rerank")


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Those that a module names in its SERVERS, for all of its tests."""
    with ExitStack() as stack:
        yield start_fleet(stack, *request.module.SERVERS)


@pytest.fixture
def fleet(servers: Fleet) -> Fleet:
    """The same, with nothing switched on and empty ledgers."""
    servers.clear()
    return servers


@pytest.fixture
def chat_fleet(chat_servers: Fleet) -> Fleet:
    """Two chat replicas, with nothing switched on and an empty ledger."""
    chat_servers.clear()
    return chat_servers


@pytest.fixture
def whole_fleet(all_servers: Fleet) -> Fleet:
    """All five servers, with nothing switched on and empty ledgers."""
    all_servers.clear()
    return all_servers


@pytest.fixture
def make_gateway(tmp_path: Path) -> Iterator[MakeGateway]:
    """Starts gateways of a test's own settings; they end with the test."""
    with ExitStack() as stack:
        count = 0

        def make(fleet: Fleet, **settings: object) -> Gateway:
            nonlocal count
            count += 1
            folder = tmp_path / str(count)
            folder.mkdir()
            return stack.enter_context(Gateway(folder, **{**fleet.settings(), **settings}))

        yield make


@pytest.fixture(scope="module")
def chat_gateway(chat_servers: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway of two workers, its rate limit and its breaker out of the way, before two chat replicas.

    Its tests make the replicas fail one after another: so many failures in a row would be another test's business.
    """
    settings = {
        **chat_servers.settings(),
        "GATEWAY_WORKERS": 2,
        "MAX_RPS_PER_IP": 10_000,
        "RPS_BURST": 10_000,
        "CIRCUIT_FAILURE_THRESHOLD": 1_000_000,
        "CIRCUIT_RECOVERY_TIMEOUT": 0.1,
        "BACKEND_UP_AFTER": 1,
    }
    with Gateway(tmp_path_factory.mktemp("gateway"), **settings) as gateway:
        yield gateway


@pytest.fixture
def chat(chat_gateway: Gateway, chat_fleet: Fleet) -> Gateway:
    """The module's gateway, before replicas with nothing switched on, both of which it uses."""

    def well() -> bool:
        if "draining" in chat_gateway.states():  # what a test said, and only a request that goes well unsays
            with chat_gateway.client() as client:
                client.post("/v1/completions", json={"model": "qwen", "prompt": "hello", "max_tokens": 1})
        return chat_gateway.well()

    wait_until(well, 10, "the gateway did not take its backends back")
    chat_fleet.clear()
    return chat_gateway
