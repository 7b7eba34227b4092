"""Tests of the list of single requests, before both databases."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import httpx
import pytest

from gateway.admin.requests import place_of
from gateway.core.errors import BadRequestError
from gateway.core.usage_record import UsageRecord
from gateway.database import usage
from tests.support.admin import TODAY, AdminServer
from tests.support.ledger import sheet

REQUESTS = "/admin/v1/usage/requests"
MIDNIGHT = datetime.combine(TODAY, time(), UTC).timestamp()
KEYS = ("", "key_1")


def record(number: int) -> UsageRecord:
    """Requests end in the order of their numbers, a minute apart; number 0 at midnight."""
    return UsageRecord(
        f"r{number:03}",
        MIDNIGHT + number * 60,
        "org:acme" if number % 2 else "ip:192.0.2.7",
        KEYS[number % 2],
        "chat",
        "/v1/chat/completions",
        200,
        "ok",
        prompt_tokens=number + 1000,
        completion_tokens=5,
        backend="chat0",
    )


@pytest.fixture(autouse=True)
def _ledger(server: AdminServer) -> None:
    """A hundred requests on sheets of seven, half of them of yesterday; one sheet has both days."""
    sheets = [sheet(f"{at}", *map(record, range(at, min(at + 7, 50)))) for at in range(-50, 50, 7)]
    write = server.database.usage.write
    server.do(write("host", sheets, "epoch", lambda at: (int(at // 86400), 1)))


def ask(client: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = client.get(REQUESTS, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def all_of(client: httpx.Client, **query: Any) -> list[str]:
    """The ids on all pages."""
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = ask(client, **query, **after)
        assert len(page["data"]) <= query.get("limit", 100)
        found += [one["request_id"] for one in page["data"]]
        if not page["has_more"]:
            assert page["last_id"] is None
            return found
        after = {"after": page["last_id"]}


def ids(numbers: range) -> list[str]:
    return [record(number).request_id for number in numbers]


def test_a_request_is_shown_with_all_that_was_booked(client: httpx.Client) -> None:
    first = ask(client, limit=1)["data"][0]
    ended = datetime.fromtimestamp(MIDNIGHT + 49 * 60, UTC).isoformat().replace("+00:00", "Z")
    assert first == {
        "request_id": "r049",
        "ended_at": ended,
        "organization": "org:acme",
        "key_id": "key_1",
        "model": "chat",
        "path": "/v1/chat/completions",
        "status": 200,
        "outcome": "ok",
        "prompt_tokens": 1049,
        "completion_tokens": 5,
        "estimated": False,
        "backend": "chat0",
        "cached": False,
    }


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_of_any_size_have_each_request_once_newest_first(client: httpx.Client, limit: int) -> None:
    assert all_of(client, limit=limit) == ids(range(49, -51, -1))


@pytest.mark.parametrize("sheets", [1, 2])
def test_a_page_looks_at_a_few_sheets_and_says_that_there_is_more(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, sheets: int
) -> None:
    monkeypatch.setattr(usage, "SHEETS_OF_A_PAGE", sheets)
    assert all_of(client, limit=3) == ids(range(49, -51, -1))
    empty = ask(client, key="nobody")
    assert (empty["data"], empty["has_more"]) == ([], True)
    assert all_of(client, key="nobody") == []


def test_days_organizations_and_keys_are_told_apart_request_by_request(client: httpx.Client) -> None:
    day, before = TODAY.isoformat(), (TODAY - timedelta(days=1)).isoformat()
    assert all_of(client, **{"from": day, "to": day}) == ids(range(49, -1, -1))
    assert all_of(client, **{"from": before, "to": before}) == ids(range(-1, -51, -1))
    assert all_of(client, organization="192.0.2.7", limit=4) == ids(range(48, -51, -2))
    assert all_of(client, key="key_1", **{"from": day}) == ids(range(49, 0, -2))


def test_what_is_booked_between_two_pages_moves_none(server: AdminServer, client: httpx.Client) -> None:
    page = ask(client, limit=10)
    newer = sheet("newer", record(60))
    server.do(server.database.usage.write("host", [newer], "epoch", lambda _: (1, 1)))
    following = ask(client, limit=10, after=page["last_id"])
    assert [one["request_id"] for one in following["data"]] == ids(range(39, 29, -1))


@pytest.mark.parametrize(
    "cursor", ["x", "1~s", "x~s~1", "nan~s~1", "-1.0~s~1", "1.0~s~x", "1.0~s~-1", "1.0~s~9999999999"]
)
def test_a_place_that_is_none_is_400(client: httpx.Client, cursor: str) -> None:
    answer = client.get(REQUESTS, params={"after": cursor})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "after")
    with pytest.raises(BadRequestError):
        place_of(cursor)
