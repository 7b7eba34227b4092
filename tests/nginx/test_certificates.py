"""How are certificates made and replaced? A development pair overwrites nothing, a reload cuts nothing."""

import ssl
import stat
import threading
import time
from pathlib import Path

from cryptography import x509

from tests.nginx.client import connect, request
from tests.nginx.upstream import Exchange, Upstream
from tests.support.nginx import NginxServer, development_certificate, start_nginx


def _names(certificate: Path) -> set[str]:
    parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def test_a_development_pair_is_for_loopback_and_the_names_given(tmp_path: Path) -> None:
    made = development_certificate(tmp_path, "llm.example.test", "192.0.2.7", "2001:db8::7")
    assert made.returncode == 0, made.stderr
    expected = {"localhost", "127.0.0.1", "::1", "llm.example.test", "192.0.2.7", "2001:db8::7"}
    assert _names(tmp_path / "fullchain.pem") == expected
    assert stat.S_IMODE((tmp_path / "privkey.pem").stat().st_mode) == 0o600


def test_nothing_is_overwritten_unless_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "fullchain.pem").write_text("a certificate that somebody paid for")
    refused = development_certificate(tmp_path)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert (tmp_path / "fullchain.pem").read_text() == "a certificate that somebody paid for"
    assert not (tmp_path / "privkey.pem").exists()
    assert development_certificate(tmp_path, "--force").returncode == 0
    assert "localhost" in _names(tmp_path / "fullchain.pem")


def test_a_private_key_alone_is_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "privkey.pem").write_text("a key")
    assert development_certificate(tmp_path).returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["privkey.pem"]


def test_an_unknown_option_makes_nothing(tmp_path: Path) -> None:
    assert development_certificate(tmp_path, "--froce").returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_renewed_certificate_is_served_after_a_reload_and_a_running_stream_goes_on(
    tmp_path: Path, upstream: Upstream
) -> None:
    go_on = threading.Event()

    def stream(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        exchange.send(head + b"9\r\ndata: 1\n\n\r\n")
        assert go_on.wait(30)
        exchange.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    upstream.script = stream
    development_certificate(tmp_path)
    server = start_nginx(upstream.port, certificates=tmp_path)
    try:
        with connect(server) as connection:
            connection.send(request("/v1/chat/completions", method="POST", body=b"{}"))
            connection.read_until(b"data: 1\n\n")
            first = _served(server)
            development_certificate(tmp_path, "--force")
            server.reload()
            deadline = time.monotonic() + 20
            while (second := _served(server)) == first:
                assert time.monotonic() < deadline
            assert second == ssl.PEM_cert_to_DER_cert(_pem(tmp_path / "fullchain.pem"))
            go_on.set()
            assert connection.read_until(b"0\r\n\r\n").endswith(b"data: 2\n\n\r\n0\r\n\r\n")
    finally:
        go_on.set()
        server.stop()


def _served(server: NginxServer) -> bytes:
    """The certificate that a new connection gets."""
    pem = ssl.get_server_certificate(("127.0.0.1", server.https_port))
    return ssl.PEM_cert_to_DER_cert(pem)


def _pem(path: Path) -> str:
    text = path.read_text()
    return text[text.index("-----BEGIN") :]
