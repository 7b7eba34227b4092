"""Who may speak with nginx, and in which version? TLS 1.2 and 1.3 with modern suites; port 80 only points there."""

import shutil
import socket
import ssl
import subprocess
import threading
import warnings

import pytest

from tests.nginx.client import connect, connect_plain, request, trusting
from tests.nginx.upstream import Exchange, Upstream, answer
from tests.support import docker
from tests.support.nginx import IMAGE, NginxServer

GROUP = "X25519MLKEM768"
TLS12_SUITES = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
}
WEAK_SUITES = [
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-CCM8",
    "AES128-SHA",
    "AES128-GCM-SHA256",
    "NULL",
    "ADH-AES128-SHA",
]


def _handshake(server: NginxServer, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", server.https_port), timeout=30)
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except BaseException:
        plain.close()
        raise


def _limited(server: NginxServer, version: ssl.TLSVersion, suites: str | None = None) -> ssl.SSLContext:
    context = trusting(server)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # naming TLS 1.1 is deprecated, as it should be
        context.minimum_version = context.maximum_version = version
    if suites is not None:
        # Security level 0: this client would take anything, so that a refusal is the server's.
        context.set_ciphers(f"{suites}:@SECLEVEL=0")
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused_by_the_server(edge: NginxServer, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError) as refusal:
        _handshake(edge, _limited(edge, version, "ALL"))
    assert refusal.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_versions_are_spoken(edge: NginxServer, version: ssl.TLSVersion) -> None:
    with _handshake(edge, _limited(edge, version)) as connection:
        assert connection.version() == version.name.replace("_", ".")


@pytest.mark.parametrize("suite", WEAK_SUITES)
def test_a_weak_suite_is_refused(edge: NginxServer, suite: str) -> None:
    with pytest.raises(ssl.SSLError) as refusal:
        _handshake(edge, _limited(edge, ssl.TLSVersion.TLSv1_2, suite))
    assert "HANDSHAKE_FAILURE" in str(refusal.value.reason)


@pytest.mark.parametrize("suite", sorted(TLS12_SUITES))
def test_a_modern_suite_is_taken_the_client_choosing(edge: NginxServer, suite: str) -> None:
    with _handshake(edge, _limited(edge, ssl.TLSVersion.TLSv1_2, suite)) as connection:
        chosen = connection.cipher()
        assert chosen is not None
        assert chosen[0] == suite


def test_the_post_quantum_group_is_preferred(edge: NginxServer) -> None:
    container = ("docker", "run", "--rm", "--interactive", "--network", "host", "--pull", "never", IMAGE, "openssl")
    for openssl in (("openssl",), container):
        if shutil.which(openssl[0]) and GROUP in docker.run(*openssl, "list", "-kem-algorithms").stdout:
            seen = docker.run(*openssl, "s_client", "-brief", "-connect", f"127.0.0.1:{edge.https_port}")
            assert GROUP in seen.stderr
            return
    pytest.skip(f"no openssl here knows {GROUP}")


def test_no_session_ticket_is_given_under_tls_1_2(edge: NginxServer) -> None:
    with _handshake(edge, _limited(edge, ssl.TLSVersion.TLSv1_2)) as connection:
        assert connection.session is not None
        assert not connection.session.has_ticket


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_port_80_points_to_https_and_keeps_the_method(edge: NginxServer, upstream: Upstream, method: str) -> None:
    with connect_plain(edge.http_port) as connection:
        connection.send(request("/docs?a=b", method=method))
        seen = connection.answer(method)
    assert seen.status == 308
    assert seen.header("location") == f"https://gateway.test:{edge.https_port}/docs?a=b"
    assert seen.header("strict-transport-security") is None
    assert upstream.count() == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/v1/models?a=b", "/v1", "/v2/rerank", "/v%31/models", "/health/detailed"])
def test_port_80_refuses_what_takes_a_key_so_that_none_is_sent_in_clear_unnoticed(
    edge: NginxServer, upstream: Upstream, path: str, method: str
) -> None:
    with connect_plain(edge.http_port) as connection:
        connection.send(request(path, method=method))
        seen = connection.answer(method)
    assert (seen.status, seen.error()["code"]) == (403, "https_required")
    assert seen.header("content-type") == "application/json"
    assert seen.header("location") is None
    assert upstream.count() == 0


@pytest.mark.parametrize("path", ["/v1beta", "/health", "/v10/models", "/"])
def test_port_80_redirects_what_takes_no_key(edge: NginxServer, path: str) -> None:
    with connect_plain(edge.http_port) as connection:
        connection.send(request(path, method="GET"))
        assert connection.answer("GET").status == 308


@pytest.mark.parametrize("path", [b"/", b"/v1/models"])
def test_port_80_refuses_what_has_no_host(edge: NginxServer, path: bytes) -> None:
    with connect_plain(edge.http_port) as connection:
        connection.send(b"GET %b HTTP/1.0\r\n\r\n" % path)
        seen = connection.answer()
    assert (seen.status, seen.error()["code"]) == (400, "invalid_request")


def test_http_2_is_spoken_and_told_of_the_client(edge: NginxServer, upstream: Upstream) -> None:
    upstream.script = answer(b"data: x\n\n", headers=b"content-type: text/event-stream\r\n")
    result = _curl(edge, "--data", "{}", "--header", "X-Real-IP: 198.51.100.9", path="/v1/chat/completions")
    assert result.stdout == "data: x\n\n\n2 200"
    received = upstream.next()
    assert received.line == b"POST /v1/chat/completions HTTP/1.1"
    assert received.values(b"x-real-ip") == [b"127.0.0.1"]
    assert received.values(b"host") == [b"localhost"]


def test_http_2_is_bounded_like_the_rest(edge: NginxServer, upstream: Upstream) -> None:
    # Over HTTP/2 a field that is too large ends the whole connection.
    assert _curl(edge, "--header", "A: " + "a" * 30_000).stdout.endswith("0 000")
    assert _curl(edge, "--header", "Host: x/admin?").stdout.endswith("2 400")
    assert _curl(edge, path="/metrics").stdout.endswith("2 404")
    assert _curl(edge, "--path-as-is", path="/v1/../metrics").stdout.endswith("2 404")
    assert upstream.count() == 0


def test_over_http_2_events_arrive_one_by_one_and_a_departure_is_seen(edge: NginxServer, upstream: Upstream) -> None:
    noticed = threading.Event()

    def stream(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        exchange.send(head + b"8\r\ndata: 1\n\r\n")
        if exchange.wait_for_departure(20):
            noticed.set()

    upstream.script = stream
    with subprocess.Popen(_curl_command(edge, "--no-buffer"), stdout=subprocess.PIPE) as curl:  # noqa: S603 -- fixed
        assert curl.stdout is not None
        assert curl.stdout.readline() == b"data: 1\n"
        curl.kill()
    assert noticed.wait(30)


def test_both_protocols_are_offered(edge: NginxServer) -> None:
    context = trusting(edge)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with _handshake(edge, context) as connection:
        assert connection.selected_alpn_protocol() == "h2"
    with connect(edge) as plain:
        assert isinstance(plain.raw, ssl.SSLSocket)
        assert plain.raw.selected_alpn_protocol() == "http/1.1"


def _curl(server: NginxServer, *options: str, path: str = "/v1/models") -> subprocess.CompletedProcess[str]:
    """One request by curl over HTTP/2; the last line of its output is the version and the status."""
    return docker.run(*_curl_command(server, *options, path=path))


def _curl_command(server: NginxServer, *options: str, path: str = "/v1/models") -> list[str]:
    if shutil.which("curl") is None or "HTTP2" not in docker.run("curl", "--version").stdout:
        docker.skip_or_fail("needs curl with HTTP/2")
    fixed = ["curl", "--silent", "--http2", "--cacert", str(server.ca_file)]
    shown = ["--write-out", "\n%{http_version} %{http_code}"]
    return [*fixed, *shown, *options, f"https://localhost:{server.https_port}{path}"]
