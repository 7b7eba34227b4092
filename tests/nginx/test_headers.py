"""Whose headers count? Claims are overwritten, hop-by-hop fields end at nginx, browsers get their rules."""

import re

import pytest

from tests.nginx.client import connect_plain, exchange, request
from tests.nginx.upstream import Upstream, answer
from tests.support.nginx import NginxServer

CLAIMS = [
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "Forwarded",
    "Via",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X_Real_IP",
    "X_Forwarded_For",
]
HOP_BY_HOP = [
    "Connection: keep-alive, X-Real-IP",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic eDp5",
    "Proxy: http://elsewhere.test",
    "TE: trailers",
    "Trailer: X-Sum",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAAQAAP__",
    "Expect: 100-continue",
]
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP"])
@pytest.mark.parametrize("claim", ["{name}: 198.51.100.9", "{name}: 198.51.100.9\r\n{name}: 198.51.100.10"])
def test_the_address_of_the_connection_replaces_what_the_client_says(
    edge: NginxServer, upstream: Upstream, name: str, claim: str
) -> None:
    exchange(edge, request("/v1/models", headers=claim.format(name=name) + "\r\n"))
    received = upstream.next()
    assert received.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert received.values(b"x-real-ip") == [b"127.0.0.1"]
    assert b"198.51.100" not in received.head


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_about_the_way_here_is_not_passed_on(edge: NginxServer, upstream: Upstream, name: str) -> None:
    exchange(edge, request("/v1/models", headers=f"{name}: for=198.51.100.9\r\n"))
    assert b"198.51.100.9" not in upstream.next().head


def test_the_scheme_and_the_host_are_what_nginx_saw(edge: NginxServer, upstream: Upstream) -> None:
    exchange(edge, request("/v1/models", headers="X-Forwarded-Proto: http\r\n"))
    received = upstream.next()
    assert received.values(b"x-forwarded-proto") == [b"https"]
    assert received.values(b"host") == [b"gateway.test"]


@pytest.mark.parametrize("line", HOP_BY_HOP)
def test_a_hop_by_hop_field_of_a_request_ends_here(edge: NginxServer, upstream: Upstream, line: str) -> None:
    name = line.split(":", maxsplit=1)[0].lower().encode()
    data = request("/v1/completions", method="POST", headers=line + "\r\n", body=b"{}")
    assert exchange(edge, data, method="POST").status == 200
    received = upstream.next()
    assert received.values(name) == []
    assert received.values(b"x-real-ip") == [b"127.0.0.1"]
    assert received.body == b"{}"


@pytest.mark.parametrize(
    "line",
    [
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "Proxy-Connection: x",
        "TE: x",
        "Trailer: x",
        "Upgrade: h2c",
    ],
)
def test_a_hop_by_hop_field_of_an_answer_ends_here(edge: NginxServer, upstream: Upstream, line: str) -> None:
    upstream.script = answer(headers=f"{line}\r\nx-kept: 1\r\n".encode())
    seen = exchange(edge, request("/v1/models"))
    assert seen.values(line.split(":", maxsplit=1)[0].lower()) == []
    assert seen.header("x-kept") == "1"


@pytest.mark.parametrize(
    "line", ["X-Accel-Redirect: /metrics", "X-Accel-Limit-Rate: 1", "X-Accel-Buffering: yes", "X-Accel-Charset: koi8-r"]
)
def test_no_answer_steers_nginx(edge: NginxServer, upstream: Upstream, metrics: Upstream, line: str) -> None:
    upstream.script = answer(b"{}" * 5000, headers=f"content-type: application/json\r\n{line}\r\n".encode())
    seen = exchange(edge, request("/v1/models"))
    assert (seen.status, len(seen.body)) == (200, 10_000)
    assert not [name for name, _ in seen.headers if name.startswith("x-accel")]
    assert metrics.count() == 0


def test_credentials_and_a_clients_own_request_id_go_on_unchanged(edge: NginxServer, upstream: Upstream) -> None:
    long = "a" * 10_240
    exchange(
        edge, request("/v1/models", headers=f"Authorization: Bearer k\r\nX-Request-Id: {long}\r\nX-Api-Key: k\r\n")
    )
    received = upstream.next()
    assert received.values(b"authorization") == [b"Bearer k"]
    assert received.values(b"x-api-key") == [b"k"]
    assert received.values(b"x-request-id") == [long.encode()]


def test_the_request_id_is_the_gateways(edge: NginxServer, upstream: Upstream) -> None:
    upstream.script = answer(headers=b"x-request-id: made-by-the-gateway\r\n")
    assert exchange(edge, request("/v1/models", headers="X-Request-Id: mine\r\n")).header("x-request-id") == (
        "made-by-the-gateway"
    )


def test_what_nginx_answers_itself_has_an_id_too(edge: NginxServer) -> None:
    ids = {exchange(edge, request("/metrics")).header("x-request-id") for _ in range(2)}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", str(one)) for one in ids)


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"500 Internal Server Error"])
def test_every_answer_of_the_gateway_carries_the_security_headers_once(
    edge: NginxServer, upstream: Upstream, status: bytes
) -> None:
    theirs = b"x-content-type-options: x\r\nx-frame-options: SAMEORIGIN\r\nreferrer-policy: origin\r\n"
    upstream.script = answer(status=status, headers=theirs + b"strict-transport-security: max-age=1\r\n")
    seen = exchange(edge, request("/v1/models"))
    assert {name: seen.header(name) for name in SECURITY} == SECURITY


@pytest.mark.parametrize("data", [request("/metrics"), b"GET / HTTP/1.1\r\n\r\n"], ids=["404", "400"])
def test_every_answer_of_nginx_carries_them_too(edge: NginxServer, data: bytes) -> None:
    seen = exchange(edge, data)
    assert {name: seen.header(name) for name in SECURITY} == SECURITY


def test_no_browser_is_told_to_insist_on_a_development_certificate(edge: NginxServer) -> None:
    assert exchange(edge, request("/v1/models")).header("strict-transport-security") is None


def test_a_policy_from_the_gateway_stands(edge: NginxServer, upstream: Upstream) -> None:
    upstream.script = answer(headers=b"content-security-policy: script-src 'self' 'nonce-x'\r\n")
    assert exchange(edge, request("/docs")).header("content-security-policy") == "script-src 'self' 'nonce-x'"


def test_the_software_is_not_named_by_version(edge: NginxServer, upstream: Upstream) -> None:
    upstream.script = answer(headers=b"server: uvicorn\r\nx-powered-by-kept: 1\r\n")
    assert exchange(edge, request("/v1/models")).header("server") == "nginx"


def test_plain_http_on_the_tls_port_is_told_so(edge: NginxServer) -> None:
    with connect_plain(edge.https_port) as connection:
        connection.send(request("/v1/models"))
        seen = connection.answer()
    assert (seen.status, seen.error()["code"]) == (400, "https_required")
