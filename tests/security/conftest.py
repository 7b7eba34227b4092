"""What is attacked? nginx as it is shipped, a gateway behind it, and a model server whose ledger says what ran."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.conftest import make_gateway, start_fleet
from tests.nginx.conftest import edge, metrics, shared_upstream, upstream
from tests.security.house import House
from tests.support.gateway import Gateway, wait_until
from tests.support.nginx import start_nginx

__all__ = ["edge", "make_gateway", "metrics", "shared_upstream", "upstream"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Fetching or building nginx's image may take minutes, once; the bound is meant for the tests.
    for item in items:
        if "tests/security/" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(240, func_only=True), append=False)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The house; who does not take an answer is cut after 2 s, and no rate limit stands in an attack's way."""
    with ExitStack() as stack:
        fleet = start_fleet(stack, "chat0")
        settings = {"MAX_RPS_PER_IP": 100_000, "RPS_BURST": 100_000, "FAILED_AUTH_PER_SEC": 0}
        settings |= {"CLIENT_WRITE_TIMEOUT_SECS": 2, "GATEWAY_WORKERS": 2}
        gateway = stack.enter_context(Gateway(tmp_path_factory.mktemp("gateway"), **settings, **fleet.settings()))
        nginx = start_nginx(
            gateway.port, metrics_port=gateway.metrics_port, NGINX_OPERATORS="192.0.2.1", NGINX_SEND_TIMEOUT="2s"
        )
        stack.callback(nginx.stop)
        wait_until(gateway.ready)
        yield House(fleet["chat0"], gateway, nginx)


@pytest.fixture
def house(built: House) -> Iterator[House]:
    """The same with an empty ledger; whatever a test did to it, it stands, and nothing runs in it afterwards."""
    built.reset()
    workers = built.gateway.worker_pids()
    yield built
    built.is_well()
    assert built.gateway.worker_pids() == workers
