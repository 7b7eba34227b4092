"""Tests of the API for organizations, before both databases."""

import httpx
import pytest

from tests.support.admin import DEFAULTS

PATH = "/admin/v1/organizations"


def test_limits_that_are_not_stated_are_the_defaults_and_stay_so(client: httpx.Client) -> None:
    made = client.post(PATH, json={"id": "org:acme", "limits": {"requests_per_minute": 5}})
    limits = made.json()["limits"]
    assert made.status_code == 201
    assert (limits["requests_per_minute"], limits["tokens_per_day"]) == (5, DEFAULTS.tokens_per_day)
    assert made.headers["location"] == f"{PATH}/org:acme"
    changed = client.patch(
        f"{PATH}/org:acme", json={"limits": {"tokens_per_day": 0}}, headers={"if-match": made.headers["etag"]}
    )
    after = changed.json()["limits"]
    assert (after["requests_per_minute"], after["tokens_per_day"]) == (5, 0)
    back = client.patch(f"{PATH}/org:acme", json={"limits": None}, headers={"if-match": changed.headers["etag"]})
    assert back.json()["limits"] is None


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("192.0.2.7", "ip:192.0.2.7"),
        ("ip:192.0.2.7", "ip:192.0.2.7"),
        ("::ffff:192.0.2.7", "ip:192.0.2.7"),
        ("2001:DB8::1", "ip:2001:db8::/64"),
        ("ip:2001:db8::/64", "ip:2001:db8::/64"),
        ("ip:2001:db8:0:0:1::", "ip:2001:db8::/64"),
    ],
)
def test_an_address_is_spelled_as_requests_from_there_are_counted(
    client: httpx.Client, spelled: str, name: str
) -> None:
    assert client.post(PATH, json={"id": spelled}).json()["id"] == name
    assert client.get(f"{PATH}/{spelled}").json()["id"] == name
    assert client.post(PATH, json={"id": name}).status_code == 409


@pytest.mark.parametrize(
    "name",
    [
        "acme",
        "org:",
        "org:Acme",
        "org:-a",
        "org:a-",
        "org:a b",
        "ip:",
        "ip:300.1.1.1",
        "2001:db8::/48",
        "key:1",
        "org:" + "a" * 64,
    ],
)
def test_any_other_name_is_400(client: httpx.Client, name: str) -> None:
    answer = client.post(PATH, json={"id": name})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "id")


def test_what_was_deleted_and_made_again_is_another_version_in_the_same_millisecond(client: httpx.Client) -> None:
    first = client.post(PATH, json={"id": "org:acme"})
    stale = {"if-match": first.headers["etag"]}
    assert client.delete(f"{PATH}/org:acme").status_code == 428
    assert client.delete(f"{PATH}/org:acme", headers=stale).status_code == 204
    assert client.get(f"{PATH}/org:acme").status_code == 404
    client.post(PATH, json={"id": "org:acme"})
    assert client.delete(f"{PATH}/org:acme", headers=stale).status_code == 412


def test_a_list_comes_in_pages_by_name(client: httpx.Client) -> None:
    for name in ("org:c", "org:a", "org:b"):
        client.post(PATH, json={"id": name})
    first = client.get(PATH, params={"limit": 2}).json()
    assert [one["id"] for one in first["data"]] == ["org:a", "org:b"]
    assert (first["has_more"], first["last_id"]) == (True, "org:b")
    rest = client.get(PATH, params={"after": first["last_id"]}).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (["org:c"], False)
    assert client.get(PATH, params={"limit": 0}).json()["error"]["param"] == "limit"


def test_each_change_stands_in_the_trail_with_before_and_after(client: httpx.Client) -> None:
    etag = client.post(PATH, json={"id": "org:acme"}).headers["etag"]
    etag = client.patch(f"{PATH}/org:acme", json={"audit_opt_out": True}, headers={"if-match": etag}).headers["etag"]
    client.delete(f"{PATH}/org:acme", headers={"if-match": etag})
    trail = client.get("/admin/v1/audit", params={"target": "org:acme"}).json()["data"]
    seen = [
        (entry["action"], *((row and row["audit_opt_out"]) for row in (entry["before"], entry["after"])))
        for entry in reversed(trail)
    ]
    assert seen == [
        ("organization.create", None, False),
        ("organization.update", False, True),
        ("organization.delete", True, None),
    ]
