"""Midnight, a month's end and a change of the clocks while requests run: quotas renew then, once, and not before."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.store.valkey.server import Server, folder_of_its_own, program
from tests.support.gateway import Gateway, RawClient, wait_until
from tests.support.wall import Wall

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
ADMIN = "admin-0123456789abcdef"
ZONE = "Europe/Berlin"
LIMIT = 5


@pytest.fixture
def wall(tmp_path: Path) -> Wall:
    return Wall(tmp_path / "wall-clock")


@pytest.fixture(params=["one host", "a server of several"])
def gateway(
    chat_fleet: Fleet, make_gateway: MakeGateway, wall: Wall, request: pytest.FixtureRequest
) -> Iterator[Gateway]:
    with ExitStack() as stack:
        set_to(wall, "2027-10-30T23:58:00")
        counted_by: dict[str, object] = {"GATEWAY_WORKERS": 2}
        if request.param != "one host":
            server = Server(stack.enter_context(folder_of_its_own()), command=wall.command(program()))
            stack.callback(server.stop)
            # by one worker: whoever is asked has then learned the time that another answer was made with
            counted_by = {"GATEWAY_WORKERS": 1, "REDIS_URL": server.url, "REDIS_TIMEOUT_MS": 1000}
        yield make_gateway(
            chat_fleet,
            ADMIN_API_KEY=ADMIN,
            ORG_DAILY_REQUEST_LIMIT=LIMIT,
            QUOTA_TIMEZONE=ZONE,
            MAX_RPS_PER_IP=10_000,
            RPS_BURST=10_000,
            **wall.environment,
            **counted_by,
        )


def set_to(wall: Wall, said: str) -> None:
    """It is that moment in ZONE, from now on."""
    wall.set(datetime.fromisoformat(said).replace(tzinfo=ZoneInfo(ZONE)))


def granted(gateway: Gateway) -> int:
    """How many are, until none is; the last refusal says until when."""
    with gateway.client() as client:
        statuses = [client.post(PATH, json=BODY).status_code for _ in range(LIMIT + 3)]
    assert statuses == sorted(statuses), "what is used up stays so"
    return statuses.count(200)


def renewed(gateway: Gateway) -> int:
    """The same, once one is: of several hosts each learns within a moment how late it is."""
    with gateway.client() as client:
        wait_until(lambda: client.post(PATH, json=BODY).status_code == 200)
    return 1 + granted(gateway)


def renews_at(gateway: Gateway) -> str:
    with gateway.client() as client:
        message = str(client.post(PATH, json=BODY).json()["error"]["message"])
    return message.partition("renews at ")[2].partition(" ")[0].rstrip(".")


def used(gateway: Gateway, window: str) -> int:
    """What the operator is told of an organization's window."""
    url = f"{gateway.url}/admin/quota/127.0.0.1"
    answer = httpx.get(url, headers={"X-Admin-Key": ADMIN}, timeout=30, trust_env=False)
    return int(next(row for row in answer.json()["standings"] if row["limit"] == window)["used"])


@pytest.mark.timeout(240)
def test_quotas_renew_at_midnight_of_their_zone_and_no_clock_that_is_set_gives_more(
    gateway: Gateway, chat_fleet: Fleet, wall: Wall
) -> None:
    wait_until(gateway.well)
    for server in chat_fleet.servers.values():
        server.set_pace(token_ms=20)
    with RawClient(gateway.port) as over_midnight:
        over_midnight.post(PATH, {**BODY, "max_tokens": 600, "ignore_eos": True, "stream": True})
        over_midnight.until(b'"content":"')
        assert granted(gateway) == LIMIT - 1
        assert renews_at(gateway) == "2027-10-31T00:00:00+02:00"
        set_to(wall, "2027-10-30T23:59:58")
        assert granted(gateway) == 0

        set_to(wall, "2027-10-31T00:00:01")  # a day of 25 hours begins
        assert renewed(gateway) == LIMIT, "what runs since yesterday is yesterday's"
        assert renews_at(gateway) == "2027-11-01T00:00:00+01:00"
        over_midnight.until(b"[DONE]")
    wait_until(gateway.idle)
    assert granted(gateway) == 0, "what ended today had begun yesterday"
    wait_until(lambda: used(gateway, "requests_per_day") == LIMIT)

    set_to(wall, "2027-10-30T23:59:58")
    assert granted(gateway) == 0, "a day that is over does not begin again"
    set_to(wall, "2027-10-31T00:00:01")
    assert granted(gateway) == 0
    for said in ("2027-10-31T02:30:00", "2027-10-31T23:59:58"):
        set_to(wall, said)
        assert granted(gateway) == 0

    set_to(wall, "2027-11-01T00:00:01")  # and a month
    wait_until(lambda: used(gateway, "tokens_per_month") == 0)
    assert renewed(gateway) == LIMIT
    assert used(gateway, "tokens_per_month") > 0
    assert renews_at(gateway) == "2027-11-02T00:00:00+01:00"
    set_to(wall, "2027-10-29T12:00:00")  # days back
    assert granted(gateway) == 0
