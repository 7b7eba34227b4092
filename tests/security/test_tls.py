"""What would a scanner find in nginx' TLS? Every suite that this machine's OpenSSL knows, and what comes behind."""

import re
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.nginx.client import exchange, request, trusting
from tests.nginx.upstream import Upstream
from tests.support import docker
from tests.support.nginx import NginxServer, development_certificate, start_nginx

SUITES = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"}
"""Those of Mozilla's intermediate profile, with this certificate's kind of key."""
SUITES_1_3 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
KEPT_SESSION_BYTES = 32
"""As long is a ticket that only names a session which nginx keeps; one that holds a session is five times as long."""


def s_client(server: NginxServer, *options: str, said: str = "") -> str:
    """What `openssl s_client` tells of a handshake, and of what comes behind it while it says `said`."""
    where = ("-connect", f"127.0.0.1:{server.https_port}", "-servername", "localhost")
    try:
        done = subprocess.run(  # noqa: S603 -- fixed
            ["openssl", "s_client", *where, *options],  # noqa: S607 -- whichever is on PATH
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except FileNotFoundError:
        docker.skip_or_fail("needs openssl")
    return done.stdout + done.stderr


def known_suites() -> list[str]:
    """Every suite up to TLS 1.2 that OpenSSL can be made to offer here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return sorted({suite["name"] for suite in context.get_ciphers()} - SUITES_1_3)


def is_taken(server: NginxServer, suite: str) -> bool:
    """Whether a client that offers this suite alone, of TLS 1.2, gets through."""
    context = trusting(server)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", server.https_port), timeout=30) as plain:
        try:
            context.wrap_socket(plain, server_hostname="localhost").close()
        except ssl.SSLError:
            return False
    return True


def test_of_all_suites_those_of_the_profile_are_taken_and_no_others(edge: NginxServer) -> None:
    suites = known_suites()
    assert len(suites) > 50
    assert {suite for suite in suites if is_taken(edge, suite)} == SUITES


@pytest.mark.parametrize(
    ("suite", "taken"), [*((suite, True) for suite in sorted(SUITES_1_3)), ("TLS_AES_128_CCM_8_SHA256", False)]
)
def test_of_tls_1_3_the_suites_of_whole_tags_are_taken(edge: NginxServer, suite: str, *, taken: bool) -> None:
    assert (f"Cipher is {suite}" in s_client(edge, "-tls1_3", "-ciphersuites", suite)) is taken


@pytest.mark.parametrize("algorithm", ["ECDSA+SHA1", "RSA+SHA1:ECDSA+SHA1"])
def test_no_signature_is_made_over_a_hash_that_is_broken(edge: NginxServer, algorithm: str) -> None:
    seen = s_client(edge, "-tls1_2", "-cipher", "ALL:@SECLEVEL=0", "-sigalgs", algorithm)
    assert "Cipher is (NONE)" in seen


def test_a_client_cannot_negotiate_anew(edge: NginxServer) -> None:
    seen = s_client(edge, "-tls1_2", said="R\n")
    assert "RENEGOTIATING" in seen
    assert re.search("no renegotiation|unexpected eof|alert|wrong version|closed", seen.partition("RENEGOTIATING")[2])
    assert "Secure Renegotiation IS supported" in seen


def test_nobody_is_talked_down_to_an_older_version(edge: NginxServer) -> None:
    assert "inappropriate fallback" in s_client(edge, "-tls1_2", "-fallback_scsv")
    assert "Cipher is ECDHE-" in s_client(edge, "-tls1_2")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_nothing_is_compressed(edge: NginxServer, version: str) -> None:
    assert "Compression: NONE" in s_client(edge, version, "-comp")


def test_nothing_is_taken_before_the_handshake_has_ended(edge: NginxServer) -> None:
    """Such data can be sent again by whoever has seen it, and a POST would run twice."""
    seen = s_client(edge, "-tls1_3", "-ign_eof", said=request("/v1/models", headers="Connection: close\r\n").decode())
    announced = re.findall(r"Max Early Data: (\d+)", seen)
    assert announced
    assert set(announced) == {"0"}


def test_a_session_is_kept_by_nginx_and_no_key_of_all_sessions_is_needed(edge: NginxServer, tmp_path: Path) -> None:
    said = request("/v1/models", headers="Connection: close\r\n").decode()
    s_client(edge, "-tls1_3", "-ign_eof", "-sess_out", str(tmp_path / "session"), said=said)
    told = docker.run("openssl", "sess_id", "-in", str(tmp_path / "session"), "-noout", "-text").stdout
    ticket = re.findall(r"^\s+[0-9a-f]{4} - ((?:[0-9a-f]{2}[ -])+)", told, re.MULTILINE)
    assert sum(len(re.findall(r"[0-9a-f]{2}", line)) for line in ticket) == KEPT_SESSION_BYTES
    assert "Reused, TLSv1.3" in s_client(edge, "-tls1_3", "-sess_in", str(tmp_path / "session"))


@pytest.mark.parametrize("offered", [["h2"], ["http/1.1"], ["http/1.1", "h2"], ["h2", "http/1.1"]])
def test_the_protocol_is_one_that_the_client_has_offered(edge: NginxServer, offered: list[str]) -> None:
    context = trusting(edge)
    context.set_alpn_protocols(offered)
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.selected_alpn_protocol() == ("h2" if "h2" in offered else "http/1.1")


def test_a_client_that_offers_other_protocols_alone_is_told_so(edge: NginxServer) -> None:
    assert "no application protocol" in s_client(edge, "-alpn", "ftp")


def test_with_a_real_certificate_browsers_are_told_to_insist(upstream: Upstream, tmp_path: Path) -> None:
    development_certificate(tmp_path)
    chain = tmp_path / "fullchain.pem"
    chain.write_text(chain.read_text()[chain.read_text().index("-----BEGIN") :])
    server = start_nginx(upstream.port, certificates=tmp_path)
    try:
        assert exchange(server, request("/v1/models")).header("strict-transport-security") == "max-age=63072000"
        assert exchange(server, request("/metrics")).header("strict-transport-security") == "max-age=63072000"
    finally:
        server.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\xff\xff" + b"\x01" * 70_000,
        b"\x16\x03\x01\x00\x05\x01\x00\xff\xff\xff",
        b"\x15\x03\x03\x00\x02\x01\x5a" * 1000,
        b"\x14\x03\x03\x00\x01\x01" * 1000,
        b"\x80\x2e\x01\x00\x02" + b"\0" * 60,
        b"\0" * 100_000,
    ],
    ids=["a record that is too long", "a hello without end", "warnings", "ciphers changed", "SSL 2", "zeros"],
)
def test_what_is_no_handshake_ends_its_connection_alone(edge: NginxServer, upstream: Upstream, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", edge.https_port), timeout=30) as plain:
        try:
            plain.sendall(data)
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65_536):
                pass
        except OSError:
            pass  # a reset is an end as well
    assert exchange(edge, request("/v1/models")).status == 200
    assert upstream.count() == 1
