"""Tests of how a command finds the gateway that it asks, and whom it believes."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import ENOUGH_SECS, Run
from tests.support.certificates import self_signed

EVERY_HELP = """
import click
from gateway.cli import main

def walk(command, context):
    command.get_help(context)
    command.make_parser(context)
    shown = 1
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            shown += walk(inner, click.Context(inner, info_name=name, parent=context))
    return shown

print(walk(main, click.Context(main, info_name="gateway")))
"""


class EmptyList(BaseHTTPRequestHandler):
    """Has nothing of whatever it is asked for."""

    def do_GET(self) -> None:
        body = b'{"object": "list", "data": [], "has_more": false, "last_id": null}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep standard error for failures."""


@pytest.fixture(name="secure")
def _secure(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Where a gateway answers by TLS, and the certificate of the authority that vouches for it."""
    authority, context = self_signed(tmp_path)
    with HTTPServer(("127.0.0.1", 0), EmptyList) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", authority
        server.shutdown()
        thread.join()


def test_a_gateway_behind_an_authority_of_ones_own_is_believed_when_that_is_named(
    gateway: Run, secure: tuple[str, Path]
) -> None:
    url, authority = secure
    known = gateway("keys", "list", "--gateway", url, SSL_CERT_FILE=str(authority))
    assert (known.returncode, known.stderr) == (0, "")
    assert gateway("keys", "list", GATEWAY_URL=url, SSL_CERT_FILE=str(authority)).returncode == 0
    unknown = gateway("keys", "list", "--gateway", url)
    assert unknown.returncode == 3
    assert "certificate verify failed" in unknown.stderr
    assert len(unknown.stderr.splitlines()) == 1


def test_the_gateway_is_named_apart_from_the_backend(gateway: Run, secure: tuple[str, Path]) -> None:
    stated = ["coder0", "--model", "coder", "--url", "http://coder:8000"]
    elsewhere = gateway("backends", "create", *stated, "--gateway", secure[0])
    assert elsewhere.returncode == 3
    assert f"no gateway answers at {secure[0]}" in elsewhere.stderr


def test_no_command_has_an_option_twice() -> None:
    shown = subprocess.run(  # noqa: S603 -- this interpreter, our own words
        [sys.executable, "-W", "error", "-c", EVERY_HELP],
        capture_output=True,
        text=True,
        timeout=ENOUGH_SECS,
        check=False,
    )
    assert shown.stderr == ""
    assert int(shown.stdout) > 40
