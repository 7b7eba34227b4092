"""What an address serves is shown: when its certificate ends, whoever issued it; and whether it serves one at all."""

import asyncio
import datetime as dt
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import SystemClock
from gateway.observability import certificates
from gateway.observability.certificates import Certificates, expiry_of
from gateway.observability.metrics import Metrics
from gateway.observability.page import PageReader, create_page
from tests.support.certificates import self_signed
from tests.support.gateway import free_port

EXPIRY, UP = "gateway_tls_certificate_expiry_timestamp_seconds", "gateway_tls_probe_up"
KEY = ec.generate_private_key(ec.SECP256R1())
FIRST = dt.datetime(1950, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def page() -> Iterator[int]:
    descriptor = create_page()
    yield descriptor
    os.close(descriptor)


def shown(page: int, family: str) -> dict[str, float]:
    return {series.labels[0]: series.values[0] for series in PageReader(page).read() if series.family == family}


def certificate(until: dt.datetime) -> bytes:
    """A certificate that ends then, in DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nginx")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    dated = builder.serial_number(2**150).not_valid_before(FIRST).not_valid_after(until)
    return dated.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@asynccontextmanager
async def serving(context: ssl.SSLContext, port: int) -> AsyncIterator[str]:
    """An address that serves TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port, ssl=context):
        yield f"127.0.0.1:{port}"


@pytest.mark.anyio
async def test_the_end_of_a_certificate_that_nobody_trusts_is_shown(tmp_path: Path, page: int) -> None:
    async with serving(self_signed(tmp_path)[1], free_port()) as address:
        watched = Certificates([address], Metrics(page), SystemClock())
        assert (shown(page, UP), shown(page, EXPIRY)) == ({address: 0}, {})
        await watched.look(address)
    ends = dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=36_500)
    assert (shown(page, UP), shown(page, EXPIRY)) == ({address: 1}, {address: ends.timestamp()})


@pytest.mark.anyio
async def test_an_address_that_serves_none_any_more_is_told_of_once_and_keeps_the_end_that_was_seen(
    tmp_path: Path, page: int, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    async with serving(self_signed(tmp_path)[1], port) as address:
        watched = Certificates([address], Metrics(page), SystemClock())
        await watched.look(address)
    before = shown(page, EXPIRY)
    await watched.look(address)
    assert (shown(page, UP), shown(page, EXPIRY)) == ({address: 0}, before)
    assert not caplog.records  # it may be about to come back
    for _ in range(2):
        await watched.look(address)
    assert [record.message for record in caplog.records] == ["tls_probe_failed"]
    async with serving(self_signed(tmp_path)[1], port):
        await watched.look(address)
    assert shown(page, UP) == {address: 1}
    for _ in range(2):
        await watched.look(address)
    assert [record.message for record in caplog.records] == ["tls_probe_failed"] * 2


@pytest.mark.anyio
async def test_an_address_that_is_silent_is_not_waited_for_long(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "PATIENCE_SECS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        await asyncio.wait_for(Certificates([address], Metrics(page), SystemClock()).look(address), 10)
    assert (shown(page, UP), shown(page, EXPIRY)) == ({address: 0}, {})


@pytest.mark.anyio
async def test_a_fault_of_ours_ends_no_watch(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    enough = asyncio.Event()

    async def broken(_: Certificates, address: str) -> None:
        looks.append(address)
        if len(looks) == 3:
            enough.set()
        raise KeyError(address)

    monkeypatch.setattr(Certificates, "look", broken)
    monkeypatch.setattr(certificates, "LOOK_SECS", 0)
    running = asyncio.create_task(Certificates(["nginx:443"], Metrics(page), SystemClock()).run())
    await asyncio.wait_for(enough.wait(), 10)
    running.cancel()
    await asyncio.wait([running])


@given(until=st.datetimes(FIRST.replace(tzinfo=None), timezones=st.just(dt.UTC)))
def test_the_end_is_read_to_the_second_before_and_after_the_years_of_two_digits(until: dt.datetime) -> None:
    assert expiry_of(certificate(until)) == until.replace(microsecond=0).timestamp()


GOOD = certificate(FIRST)


@given(data=st.binary(max_size=40) | st.integers(0, len(GOOD) - 1).map(lambda size: GOOD[:size]))
def test_what_is_no_certificate_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        expiry_of(data)
