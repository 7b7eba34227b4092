"""A real gateway knows how long no request has run: what counts, over workers, restarts and gateways of one host."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.core.boot import boot_id
from gateway.core.clock import SystemClock
from gateway.server.sighting import FOLDER, Idleness, UnseenError, find, idleness
from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, wait_until

SERVERS = ("chat0",)
CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """DATA_PATH of all gateways of a test."""
    return tmp_path / "data"


def now(data: Path) -> Idleness:
    return idleness(data / FOLDER, boot_id(), SystemClock.monotonic())


def last_active(data: Path) -> float:
    """When a request last ran, as the gateways that live say."""
    return max(one.sighting.active_at for one in find(data / FOLDER) if one.sighting)


def looked_after(data: Path, moment: float) -> bool:
    """Whether every gateway has looked since then."""
    found = [one.sighting for one in find(data / FOLDER) if one.alive]
    return bool(found) and all(one is not None and one.seen_at > moment for one in found)


def look(data: Path) -> None:
    """Wait until every gateway has looked twice from now on: the first look may have begun before."""
    for _ in range(2):
        wait_until(partial(looked_after, data, SystemClock.monotonic()), what="nobody looks")


def knows(data: Path) -> bool:
    try:
        return now(data).gateways > 0
    except UnseenError:
        return False


def start(make_gateway: MakeGateway, fleet: Fleet, data: Path, **settings: object) -> Gateway:
    gateway = make_gateway(fleet, DATA_PATH=data, GATEWAY_WORKERS=2, **settings)
    wait_until(gateway.ready)
    wait_until(lambda: knows(data))
    look(data)
    return gateway


def test_probes_scrapes_and_refusals_are_no_use_and_a_request_is(
    fleet: Fleet, make_gateway: MakeGateway, data: Path
) -> None:
    gateway = start(make_gateway, fleet, data)
    before = last_active(data)
    with gateway.client() as client:
        for path in ("/health", "/ready", "/v1/models", "/health/detailed", "/v1/unknown"):
            client.get(path)
        gateway.metrics()
        assert client.post(CHAT, json=BODY, headers={"authorization": "Bearer wrong"}).status_code == 401
        assert client.post(CHAT, json={"model": "nobody's"}).status_code in {400, 404}
        look(data)
        assert last_active(data) == before
        assert client.post(CHAT, json=BODY).status_code == 200
    wait_until(lambda: last_active(data) > before)


def test_a_stream_that_says_little_is_use_to_its_end(fleet: Fleet, make_gateway: MakeGateway, data: Path) -> None:
    gateway = start(make_gateway, fleet, data)
    fleet["chat0"].set_fault("silence", after=1)
    body = {**BODY, "stream": True}
    with gateway.client() as client, client.stream("POST", CHAT, json=body) as answer:
        lines = answer.iter_lines()  # which ends the connection when nobody keeps it
        next(lines)
        wait_until(lambda: now(data).running)
        for _ in range(2):
            look(data)
            assert now(data).secs == 0.0
    fleet.clear()
    wait_until(lambda: not now(data).running)


def test_neither_a_restart_nor_a_reload_is_use(fleet: Fleet, make_gateway: MakeGateway, data: Path) -> None:
    first = start(make_gateway, fleet, data)
    first.signal(signal.SIGHUP)
    wait_until(lambda: first.events("reloaded"))
    look(data)
    seen = now(data).secs
    first.stop()
    with pytest.raises(UnseenError):
        now(data)
    start(make_gateway, fleet, data)
    assert now(data).secs >= seen


def test_a_supervisor_that_was_killed_takes_nothing_with_it(
    fleet: Fleet, make_gateway: MakeGateway, data: Path
) -> None:
    first = start(make_gateway, fleet, data)
    seen = now(data).secs
    first.signal(signal.SIGKILL)
    first.wait(30)
    assert not knows(data)
    start(make_gateway, fleet, data)
    assert now(data).secs >= seen


def test_a_request_of_a_worker_that_is_killed_was_use(fleet: Fleet, make_gateway: MakeGateway, data: Path) -> None:
    gateway = start(make_gateway, fleet, data)
    before = last_active(data)
    with gateway.client() as client:
        for _ in range(8):
            assert client.post(CHAT, json=BODY).status_code == 200
    for pid in gateway.worker_pids():
        subprocess.run(["kill", "-9", str(pid)], check=True)  # noqa: S603, S607 -- our own workers
    wait_until(lambda: last_active(data) > before)


def test_a_gateway_with_nothing_to_do_is_not_idle_while_another_has_something(
    fleet: Fleet, make_gateway: MakeGateway, data: Path
) -> None:
    start(make_gateway, fleet, data)
    busy = start(make_gateway, fleet, data)
    assert now(data).gateways == 2
    before = last_active(data)
    with busy.client() as client:
        assert client.post(CHAT, json=BODY).status_code == 200
    wait_until(lambda: last_active(data) > before)
    look(data)
    assert now(data).secs <= SystemClock.monotonic() - before


def test_a_supervisor_that_stands_still_is_not_idle(fleet: Fleet, make_gateway: MakeGateway, data: Path) -> None:
    gateway = start(make_gateway, fleet, data)
    gateway.signal(signal.SIGSTOP)
    try:
        with pytest.raises(UnseenError, match="has not looked"):
            idleness(data / FOLDER, boot_id(), SystemClock.monotonic() + 60.0)
    finally:
        gateway.signal(signal.SIGCONT)


def test_the_command_asks_where_the_settings_say(fleet: Fleet, make_gateway: MakeGateway, data: Path) -> None:
    gateway = start(make_gateway, fleet, data)
    (gateway.folder / ".env").write_text(
        f"GATEWAY_API_KEY=sk-of-the-command\nBACKEND_API_KEY=key-of-a-backend\nCHAT_BACKENDS=http://c:1\nDATA_PATH={data}\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "gateway", "idle", "--json"],
        cwd=gateway.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, orjson.loads(result.stdout)["gateways"]) == (0, 1), result.stderr


def test_what_somebody_else_has_in_an_engine_is_use(fleet: Fleet, make_gateway: MakeGateway, data: Path) -> None:
    start(make_gateway, fleet, data, BACKEND_PROBE_INTERVAL_SECS=1)
    fleet["chat0"].set_fault("slow", seconds=2.0)
    body = {**BODY, "stream": True, "max_tokens": 1000}
    key = {"authorization": "Bearer INTERNAL-0123456789"}
    with (
        httpx.Client(trust_env=False, timeout=30) as client,
        client.stream("POST", f"{fleet['chat0'].url}{CHAT}", json=body, headers=key) as answer,
    ):
        lines = answer.iter_lines()  # which ends the connection when nobody keeps it
        next(lines)
        wait_until(lambda: now(data).running)
    fleet.clear()
    wait_until(lambda: not now(data).running)
