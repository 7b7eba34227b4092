"""Which paths reach whom? The raw path goes on byte for byte, crooked ones go nowhere, the operator's are hidden."""

import pytest

from tests.nginx.client import Answer, exchange, request
from tests.nginx.upstream import Upstream, answer
from tests.support.nginx import NginxServer

CROOKED = [
    "//v1/models",
    "/v1//models",
    "//metrics",
    "//admin/keys",
    "/v1/../metrics",
    "/v1/./models",
    "/v1/..",
    "/..",
    "/v1/models/../../admin/keys",
    "/v1/models/..%2f..%2fadmin/keys",
    "/v1/models/%2e%2e/%2e%2e/admin/keys",
    "/v1/%2e%2e/metrics",
    "/v1/%2E%2E/metrics",
    "/v1/.%2e/metrics",
    "/v1%2fmodels",
    "/v1%2Fchat/completions",
    "/v1/chat%2fcompletions",
    "/%2fv1/models",
    "/v1/%5c../models",
    "/v1/\\..\\metrics",
    "/v1/models%00",
    "/v1/models#/../admin",
    "*",
]
HIDDEN = ["/metrics", "/metrics?x=1", "/%6detrics", "/admin", "/admin/", "/admin/keys", "/%61dmin/keys", "/admin?x=y"]
PASSED_ON = [
    "/v1/chat/completions",
    "/v1/models?limit=2&after=%2e%2e//x",
    "/v1/models/Qwen/Qwen2.5-7B-Instruct",
    "/v1/models/Qwen%2FQwen2.5-7B-Instruct",
    "/v1/models/a%3Ab",
    "/pause",
    "/invocations",
    "/v1/unknown;x=1",
    "/v1/unknown%20path",
    "/administrator",
    "/metrics/x",
    "/docs",
    "/docs?",
]


@pytest.mark.parametrize("path", CROOKED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_crooked_path_is_unknown_and_reaches_nobody(
    edge: NginxServer, upstream: Upstream, metrics: Upstream, method: str, path: str
) -> None:
    if (method, path) == ("GET", "*"):
        method = "OPTIONS"
    seen = exchange(edge, request(path, method=method), method=method)
    # nginx calls some of them malformed before it looks for a location.
    assert (seen.status, seen.error()["code"]) in {(404, "not_found"), (400, "invalid_request")}
    assert upstream.count() == metrics.count() == 0


@pytest.mark.parametrize("path", PASSED_ON)
def test_a_plain_path_goes_on_byte_for_byte(edge: NginxServer, upstream: Upstream, path: str) -> None:
    assert exchange(edge, request(path)).status == 200
    assert upstream.next().line == b"GET %b HTTP/1.1" % path.encode()


def test_an_absolute_target_is_judged_by_its_path(edge: NginxServer, upstream: Upstream, metrics: Upstream) -> None:
    assert exchange(edge, request("http://elsewhere.test/metrics")).status == 404
    assert exchange(edge, request("http://elsewhere.test/v1/models")).status == 200
    received = upstream.next()
    assert received.line == b"GET /v1/models HTTP/1.1"
    assert upstream.count() == metrics.count() == 0


@pytest.mark.parametrize("path", HIDDEN)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_the_operators_paths_are_unknown_to_others(
    edge: NginxServer, upstream: Upstream, metrics: Upstream, method: str, path: str
) -> None:
    assert _visible(exchange(edge, request(path, method=method), method=method)) == _visible(
        exchange(edge, request("/v1//unknown", method=method), method=method)
    )
    assert upstream.count() == metrics.count() == 0


@pytest.mark.parametrize("claim", ["X-Forwarded-For: 192.0.2.1", "X-Real-IP: 192.0.2.1", "Forwarded: for=192.0.2.1"])
def test_nobody_becomes_the_operator_by_saying_so(edge: NginxServer, metrics: Upstream, claim: str) -> None:
    assert exchange(edge, request("/metrics", headers=f"{claim}\r\n")).status == 404
    assert metrics.count() == 0


def test_the_operator_sees_the_metrics_of_the_gateways_other_port(
    impatient: NginxServer, upstream: Upstream, metrics: Upstream
) -> None:
    metrics.script = answer(b"requests_total 1\n", headers=b"content-type: text/plain\r\n")
    seen = exchange(impatient, request("/metrics"))
    assert (seen.status, seen.body) == (200, b"requests_total 1\n")
    assert metrics.next().line == b"GET /metrics HTTP/1.1"
    assert upstream.count() == 0


def test_the_operator_reaches_the_admin_paths(impatient: NginxServer, upstream: Upstream) -> None:
    assert exchange(impatient, request("/admin/keys?x=y")).status == 200
    assert upstream.next().line == b"GET /admin/keys?x=y HTTP/1.1"
    assert exchange(impatient, request("/admin/quota/ip:2001:db8::%2F64")).status == 200
    assert upstream.next().line == b"GET /admin/quota/ip:2001:db8::%2F64 HTTP/1.1"
    assert exchange(impatient, request("/admin/../v1/models")).status == 404
    assert upstream.count() == 0


def _visible(seen: Answer) -> tuple[int, bytes, list[str]]:
    """What tells one 404 from another: all but the date and the request's own id."""
    return (
        seen.status,
        seen.body,
        [f"{name}: {value}" for name, value in seen.headers if name not in {"date", "x-request-id"}],
    )
