"""`rediss://`: a server is believed by the authority that the settings name, and shown a certificate if it asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.store.settings import StoreSettings
from gateway.store.valkey.address import address_of
from gateway.store.valkey.connection import LostError
from gateway.store.valkey.session import Session
from tests.store.valkey.server import Server, free_port, running
from tests.support.certificates import self_signed

pytestmark = pytest.mark.anyio


class Speaking:
    """A server that speaks TLS, and what belongs to it."""

    def __init__(self, server: Server, port: int, folder: Path) -> None:
        self.server, self.port = server, port
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"

    def settings(self, host: str = "127.0.0.1", **files: Path | str) -> StoreSettings:
        fields = {"redis_url": f"rediss://{host}:{self.port}", **files}
        return StoreSettings.model_validate(fields)


@contextmanager
def speaking(folder: Path, clients: str) -> Iterator[Speaking]:
    self_signed(folder)
    port = free_port()
    cert = str(folder / "cert.pem")
    files = ("--tls-cert-file", cert, "--tls-key-file", str(folder / "key.pem"), "--tls-ca-cert-file", cert)
    with running("--tls-port", str(port), "--bind", "127.0.0.1", *files, "--tls-auth-clients", clients) as server:
        yield Speaking(server, port, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "theirs"
    made.mkdir()
    return made


@pytest.fixture
def open_to_all(folder: Path) -> Iterator[Speaking]:
    with speaking(folder, "no") as made:
        yield made


@pytest.fixture
def wary(folder: Path) -> Iterator[Speaking]:
    with speaking(folder, "yes") as made:
        yield made


async def answer(settings: StoreSettings, patience: float = 10.0) -> bytes:
    session = Session(address_of(settings), "a1", patience, lambda *_: None, lambda _: None)
    await session.open(patience)
    try:
        return bytes(await session.ask("ECHO", "here"))
    finally:
        session.close()


async def test_a_server_whose_authority_is_named_is_asked(open_to_all: Speaking) -> None:
    assert await answer(open_to_all.settings(redis_ca_file=open_to_all.cert)) == b"here"


async def test_a_certificate_of_nobody_known_is_refused_and_says_what_to_set(open_to_all: Speaking) -> None:
    with pytest.raises(LostError, match="certificate is refused, self-signed certificate: REDIS_CA_FILE names"):
        await answer(open_to_all.settings())


async def test_a_certificate_of_another_authority_or_for_another_name_is_refused(
    open_to_all: Speaking, tmp_path: Path
) -> None:
    another, _ = self_signed(tmp_path)
    with pytest.raises(LostError, match="certificate is refused"):
        await answer(open_to_all.settings(redis_ca_file=another))
    with pytest.raises(LostError, match="certificate is refused, Hostname mismatch"):
        await answer(open_to_all.settings("localhost", redis_ca_file=open_to_all.cert))


async def test_a_server_that_wants_a_certificate_gets_ours(wary: Speaking) -> None:
    shown = wary.settings(redis_ca_file=wary.cert, redis_cert_file=wary.cert, redis_key_file=wary.key)
    assert await answer(shown) == b"here"


async def test_without_one_the_server_ends_the_connection_and_the_reason_is_said(wary: Speaking) -> None:
    with pytest.raises(LostError, match=r"TLSV13_ALERT_CERTIFICATE_REQUIRED|closed by the server"):
        await answer(wary.settings(redis_ca_file=wary.cert))


async def test_a_server_without_tls_is_said_to_have_none() -> None:
    port = free_port()
    with running("--port", str(port), "--bind", "127.0.0.1"), pytest.raises(LostError, match="see that it speaks TLS"):
        await answer(StoreSettings.model_validate({"redis_url": f"rediss://127.0.0.1:{port}"}), 0.5)


def test_files_that_cannot_be_used_are_refused_at_the_start_by_their_names(folder: Path) -> None:
    self_signed(folder)
    empty = folder / "empty.pem"
    empty.write_text("")
    url = "rediss://cache"
    with pytest.raises(ValidationError, match="REDIS_CA_FILE cannot be read as PEM certificates: "):
        StoreSettings.model_validate({"redis_url": url, "redis_ca_file": empty})
    with pytest.raises(ValidationError, match="REDIS_CERT_FILE holds no certificate with its key, as PEM, nor does"):
        StoreSettings.model_validate({"redis_url": url, "redis_cert_file": folder / "cert.pem"})
    chosen = StoreSettings.model_validate({"redis_url": url, "redis_ca_file": "", "redis_cert_file": ""})
    assert address_of(chosen).ca_file is None
