"""A host that is ready serves whoever has a key; it waits for no database that is away, GATEWAY_API_KEY for nothing."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet
from tests.e2e.controlled import BODY, PATH, SETTINGS, MakeHost, make_host
from tests.support.gateway import KEY, Gateway, free_port, wait_until

__all__ = ["make_host"]

ASKED = 8
"""Requests on connections of their own, so that each of two workers is asked."""


@pytest.fixture
def memory() -> Iterator[Path]:
    """Where no gateway has run since the host was started."""
    made = Path(tempfile.mkdtemp(prefix="gw-", dir="/dev/shm"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def begin(fleet: Fleet, folder: Path, **settings: Any) -> Gateway:
    """Start a gateway and wait for nothing; who has it ends it."""
    folder.mkdir()
    return Gateway(folder, **{**fleet.settings(), **SETTINGS, "GATEWAY_WORKERS": 2, **settings})


def answers(gateway: Gateway, path: str) -> int:
    """The status of one answer; 0: there is none."""
    try:
        return httpx.get(gateway.url + path, trust_env=False, timeout=30).status_code
    except httpx.TransportError:
        return 0


def asked(gateway: Gateway, key: str, times: int = ASKED) -> set[int]:
    """With which statuses it answers that key."""
    headers = {"authorization": f"Bearer {key}", "connection": "close"}
    options: dict[str, Any] = {"json": BODY, "headers": headers, "trust_env": False, "timeout": 30}
    return {httpx.post(gateway.url + PATH, **options).status_code for _ in range(times)}


def test_a_host_is_ready_when_it_knows_its_keys_and_serves_the_gateways_own_before(
    make_host: MakeHost, chat_fleet: Fleet, memory: Path, tmp_path: Path
) -> None:
    elsewhere = make_host()
    _, key = elsewhere.new_key()
    elsewhere.gateway.stop()
    gateway = begin(chat_fleet, tmp_path / "new", DATA_PATH=elsewhere.data, LIMITER_PATH=memory)
    try:
        wait_until(lambda: answers(gateway, "/health") == 200)
        assert asked(gateway, KEY, 1) == {200}
        wait_until(lambda: answers(gateway, "/ready") == 200)
        assert asked(gateway, key) == {200}, "it was ready some 0.8 s before it knew its keys"
    finally:
        gateway.stop()


def test_a_host_whose_database_is_away_is_ready_and_serves_whom_it_can(
    chat_fleet: Fleet, memory: Path, tmp_path: Path
) -> None:
    nobody = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    gateway = begin(chat_fleet, tmp_path / "away", DATABASE_URL=nobody, LIMITER_PATH=memory)
    try:
        wait_until(lambda: answers(gateway, "/ready") == 200)
        wait_until(lambda: gateway.events("database_unavailable"))
        assert asked(gateway, KEY) == {200}
    finally:
        gateway.stop()
