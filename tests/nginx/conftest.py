"""What stands in every nginx test? A raw upstream and the real nginx in front of it, one pair per test process."""

from collections.abc import Iterator

import pytest

from tests.nginx.upstream import Upstream
from tests.support.nginx import NginxServer, start_nginx


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Fetching or building the image may take minutes, once; the bound is meant for the tests.
    for item in items:
        if "tests/nginx/" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(240, func_only=True), append=False)


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.refuse()


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Iterator[Upstream]:
    """The server in the gateway's place, with nothing received yet."""
    shared_upstream.reset()
    yield shared_upstream
    shared_upstream.reset()


@pytest.fixture(scope="session")
def metrics() -> Iterator[Upstream]:
    """The server in the place of the gateway's metrics port."""
    server = Upstream()
    yield server
    server.refuse()


@pytest.fixture(scope="session")
def edge(shared_upstream: Upstream, metrics: Upstream) -> Iterator[NginxServer]:
    """Nginx as it is shipped; loopback, where the tests come from, is no operator here."""
    server = start_nginx(shared_upstream.port, metrics_port=metrics.port, NGINX_OPERATORS="192.0.2.1")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def impatient(shared_upstream: Upstream, metrics: Upstream) -> Iterator[NginxServer]:
    """The same with time-outs of a second, small limits, and loopback as the operator."""
    server = start_nginx(
        shared_upstream.port,
        metrics_port=metrics.port,
        NGINX_OPERATORS="127.0.0.1",
        NGINX_CLIENT_HEADER_TIMEOUT="1s",
        NGINX_CLIENT_BODY_TIMEOUT="1s",
        NGINX_SEND_TIMEOUT="1s",
        NGINX_CONNECTIONS_PER_ADDRESS="3",
        MAX_REQUEST_BODY_BYTES="1000",
    )
    yield server
    server.stop()
