"""Who sees nginx' own figures? Whoever reaches their port, which is not a client's."""

import re

import httpx
import pytest

from tests.nginx.client import exchange, request
from tests.nginx.upstream import Upstream
from tests.support.nginx import NginxServer


def asked(edge: NginxServer, path: str) -> httpx.Response:
    with httpx.Client(base_url=edge.status_url, trust_env=False) as client:
        return client.get(path)


def test_connections_and_requests_are_counted_where_the_exporter_asks(edge: NginxServer, upstream: Upstream) -> None:
    def requests() -> int:
        figures = re.search(r"accepts handled requests\s+(\d+) (\d+) (\d+)", asked(edge, "/stub_status").text)
        assert figures
        return int(figures[3])

    before = requests()
    assert exchange(edge, request("/v1/models")).status == 200
    # The client's, and this look itself.
    assert requests() == before + 2
    assert upstream.next().line == b"GET /v1/models HTTP/1.1"


@pytest.mark.parametrize("path", ["/", "/metrics", "/v1/models", "/admin/keys", "/stub_status/x"])
def test_the_port_of_the_figures_has_nothing_else(edge: NginxServer, upstream: Upstream, path: str) -> None:
    assert asked(edge, path).status_code == 404
    assert upstream.count() == 0


def test_clients_do_not_see_them(edge: NginxServer, upstream: Upstream) -> None:
    assert b"accepts handled" not in exchange(edge, request("/stub_status")).body
    # A path like any other: the gateway's to refuse.
    assert upstream.next().line == b"GET /stub_status HTTP/1.1"
