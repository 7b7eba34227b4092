"""Tests of what is told of usage, quotas, limits, and what runs now, before both databases."""

from typing import Any

import httpx
import orjson
import pytest

from gateway.admin.live import Load
from gateway.api.documentation import describe
from gateway.api.openapi import render_document
from gateway.backends.roster import Roster
from gateway.core.usage_record import UsageRecord
from tests.support.admin import DEFAULTS, TODAY, AdminServer
from tests.support.ledger import sheets

USAGE = "/admin/v1/usage"


@pytest.fixture(autouse=True)
def _ledger(server: AdminServer) -> None:
    """Three days of two organizations and a key."""
    for days_ago in range(3):
        day = TODAY.toordinal() - days_ago
        records = [
            record(f"a{days_ago}", "org:acme", "key_1", prompt_tokens=100),
            record(f"b{days_ago}", "ip:192.0.2.7", "", prompt_tokens=7, completion_tokens=3),
        ]
        server.do(book(server, day, *records))


def record(
    request_id: str, organization: str, key_id: str, *, prompt_tokens: int, completion_tokens: int = 0
) -> UsageRecord:
    return UsageRecord(
        request_id,
        organization=organization,
        key_id=key_id,
        model="chat",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


async def book(server: AdminServer, day: int, *records: UsageRecord) -> None:
    await server.database.usage.write("host", sheets(records), "epoch", lambda _: (day, 24_322))


def report(client: httpx.Client, **query: Any) -> list[tuple[str, int, int]]:
    answer = client.get(USAGE, params=query)
    assert answer.status_code == 200, answer.text
    return [(line["heading"], line["requests"], line["total_tokens"]) for line in answer.json()["data"]]


def test_a_report_is_by_what_was_asked_for(client: httpx.Client) -> None:
    assert report(client) == [("ip:192.0.2.7", 3, 30), ("org:acme", 3, 300)]
    assert report(client, by="key") == [("", 3, 30), ("key_1", 3, 300)]
    assert report(client, by="model", organization="192.0.2.7") == [("chat", 3, 30)]
    assert report(client, by="day", key="key_1", **{"from": "2026-11-20"}) == [
        ("2026-11-20", 1, 100),
        ("2026-11-21", 1, 100),
    ]
    assert report(client, by="day", to="2026-11-19") == [("2026-11-19", 2, 110)]


@pytest.mark.parametrize("by", ["day", "organization", "key"])
def test_a_report_comes_in_pages(client: httpx.Client, by: str) -> None:
    whole, found, after = report(client, by=by), [], ""
    for _ in whole:
        page = client.get(USAGE, params={"by": by, "limit": 1, "after": after}).json()
        found += page["data"]
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert [line["heading"] for line in found] == [line[0] for line in whole]


def test_a_spreadsheet_gets_all_of_it_and_no_formula(server: AdminServer, client: httpx.Client) -> None:
    server.do(book(server, TODAY.toordinal(), UsageRecord("f", model="=cmd()")))
    answer = client.get(USAGE, params={"by": "model", "format": "csv", "limit": 1})
    assert answer.headers["content-type"].startswith("text/csv")
    assert "content-length" in answer.headers
    assert answer.text.splitlines() == [
        "model,requests,prompt_tokens,completion_tokens,total_tokens",
        "'=cmd(),1,0,0,0",
        "chat,6,321,9,330",
    ]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"by": "week"}, "by"),
        ({"from": "1764547200"}, "from"),
        ({"from": "2026-13-01"}, "from"),
        ({"from": "2026-11-22"}, "from"),
        ({"from": "2001-01-01"}, "from"),
        ({"by": "day", "after": "x"}, "after"),
        ({"organization": "acme"}, "organization"),
        ({"key": "a'b"}, "key"),
    ],
)
def test_a_query_that_will_not_do_is_400_and_names_its_part(
    client: httpx.Client, query: dict[str, str], param: str
) -> None:
    answer = client.get(USAGE, params=query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def ask_as(server: AdminServer, caller: dict[str, str], **query: str) -> dict[str, Any]:
    headers = {"x-gateway-principal": orjson.dumps(caller).decode()}
    answer = httpx.get(f"{server.url}/v1/usage", headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_client_sees_its_own_and_nobody_elses(server: AdminServer, client: httpx.Client) -> None:
    key = client.post("/admin/v1/keys", json={"organization": "org:acme", "limits": {"tokens_per_day": 50}}).json()
    server.do(book(server, TODAY.toordinal(), record("k", "org:acme", key["id"], prompt_tokens=5)))
    server.live.used[f"key:{key['id']}", "tokens_per_day"] = 5
    mine = ask_as(server, {"organization": "org:acme", "key_id": key["id"]})
    assert [(line["heading"], line["requests"], line["total_tokens"]) for line in mine["data"]] == [("chat", 1, 5)]
    assert [(one["limit"], one["remaining"]) for one in mine["key_limits"]] == [("tokens_per_day", 45)]
    assert {one["limit"] for one in mine["organization_limits"]} == {
        *("requests_per_day", "tokens_per_day", "tokens_per_month"),
    }
    shared = ask_as(server, {"organization": "ip:192.0.2.7"}, by="day")
    assert (shared["key_id"], shared["key_limits"]) == (None, [])
    assert [line["requests"] for line in shared["data"]] == [1, 1, 1]
    assert ask_as(server, {"organization": "ip:192.0.2.8"})["data"] == []


def test_quotas_are_of_all_who_used_something_or_have_an_entry_each_once(
    server: AdminServer, client: httpx.Client
) -> None:
    client.post("/admin/v1/organizations", json={"id": "org:idle", "limits": {"tokens_per_day": 9}})
    client.post("/admin/v1/organizations", json={"id": "org:acme", "audit_opt_out": True})
    server.live.used["org:acme", "tokens_per_day"] = DEFAULTS.tokens_per_day + 5
    page = client.get("/admin/quotas").json()
    assert [(one["organization"], one["source"]) for one in page["data"]] == [
        ("org:acme", "defaults"),
        ("org:idle", "own"),
        ("ip:192.0.2.7", "defaults"),
    ]
    standing = {one["limit"]: one for one in page["data"][0]["standings"]}["tokens_per_day"]
    assert (standing["allowed"], standing["remaining"]) == (DEFAULTS.tokens_per_day, 0)
    names, after = [], ""
    for more in (True, True, True, False):
        part = client.get("/admin/quotas", params={"limit": 1, "after": after}).json()
        names += [one["organization"] for one in part["data"]]
        assert part["has_more"] is more
        after = part["last_id"]
    assert names == ["org:acme", "org:idle", "ip:192.0.2.7"]


@pytest.mark.parametrize("spelled", ["ip:2001:db8::/64", "ip%3A2001%3Adb8%3A%3A%2F64", "2001:db8::7"])
def test_a_quota_is_found_by_any_spelling_of_an_address(client: httpx.Client, spelled: str) -> None:
    assert client.get(f"/admin/quota/{spelled}").json()["organization"] == "ip:2001:db8::/64"


def test_what_runs_now_is_told(server: AdminServer, client: httpx.Client) -> None:
    server.live.loads_now = [Load("org:acme", 1, 0), Load("ip:192.0.2.7", 4, 2)]
    state = client.get("/admin/v1/state").json()
    assert (state["in_flight"], state["queued"]) == (5, 2)
    assert [one["organization"] for one in state["organizations"]] == ["ip:192.0.2.7", "org:acme"]
    assert [(one["id"], one["circuit"]) for one in state["backends"]] == [("chat0", "closed"), ("chat1", "closed")]
    assert state["at"] == "2026-11-21T12:00:00Z"


def test_the_limits_in_force_are_told(client: httpx.Client) -> None:
    limits = client.get("/admin/v1/limits").json()
    assert (limits["requests_per_second"], limits["in_flight"]) == (50.0, 120)
    assert limits["defaults"]["tokens_per_day"] == DEFAULTS.tokens_per_day


def test_a_flush_is_a_change_that_the_trail_keeps(server: AdminServer, client: httpx.Client) -> None:
    server.live.cached = 12
    assert client.post("/admin/v1/cache/flush").json()["flushed"] == 12
    (entry,) = client.get("/admin/v1/audit").json()["data"]
    assert (entry["action"], entry["actor"], entry["after"]) == ("cache.flush", "admin-key-1", {"flushed": 12})


def test_clients_are_told_of_their_own_usage_in_the_words_of_who_answers(client: httpx.Client) -> None:
    public = orjson.loads(render_document(describe([], "1"), Roster(())))
    own = client.get("/admin/openapi.json").json()
    asked, answered = (document["paths"]["/v1/usage"]["get"] for document in (public, own))
    for here, there in zip(asked.pop("parameters"), answered.pop("parameters"), strict=True):
        assert here["schema"].items() <= there["schema"].items()
        assert (here["name"], here["in"], here["required"]) == (there["name"], there["in"], there["required"])
    assert asked["description"] == answered["description"]
    assert set(asked["responses"]) >= set(answered["responses"])
    for name in ("OwnUsage", "UsageLine", "Standing"):
        assert public["components"]["schemas"][name] == own["components"]["schemas"][name]
