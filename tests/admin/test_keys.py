"""Tests of the API for API keys, before both databases."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway.auth.api_key import digest, is_well_formed
from gateway.database.settings import DatabaseSettings
from tests.support.admin import AdminServer, Ruling

KEYS = "/admin/v1/keys"


def made(client: httpx.Client, **wishes: Any) -> tuple[dict[str, Any], str]:
    """A new key and its ETag."""
    answer = client.post(KEYS, json=wishes)
    assert answer.status_code == 201, answer.text
    return answer.json(), answer.headers["etag"]


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_a_key_is_shown_once_and_kept_by_its_digest(server: AdminServer, client: httpx.Client) -> None:
    answer = client.post(KEYS, json={"organization": "org:acme", "name": "web", "limits": {"requests_per_minute": 120}})
    key = answer.json()
    assert is_well_formed(key["key"].encode())
    assert key["key"].startswith(key["prefix"])
    assert answer.headers["location"] == f"{KEYS}/{key['id']}"
    assert answer.headers["cache-control"] == "no-store"
    secret = Ruling().key_hash_secret.get_secret_value().encode()
    row = server.do(server.database.keys.get(key["id"]))
    assert (row.digest, row.properties.organization) == (digest(key["key"].encode(), secret), "org:acme")
    read = client.get(f"{KEYS}/{key['id']}")
    assert read.headers["etag"] == answer.headers["etag"]
    assert read.json() == {name: value for name, value in key.items() if name != "key"}
    assert read.json()["limits"]["requests_per_minute"] == 120


def test_the_key_stands_in_no_other_answer_nor_in_the_audit_trail_nor_in_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "gateway")  # of libraries nothing below a warning is ever written
    first, etag = made(client, name="canary")
    rotated = client.post(f"{KEYS}/{first['id']}/rotate", json={}, headers={"if-match": etag}).json()
    answers = [
        client.get(KEYS),
        client.get(f"{KEYS}/{first['id']}"),
        client.get("/admin/v1/audit"),
        client.post(f"{KEYS}/{first['id']}/revoke"),
        client.post(KEYS, json={"name": first["key"], "nonsense": first["key"]}),
    ]
    secret = Ruling().key_hash_secret.get_secret_value().encode()
    for key in (first["key"], rotated["key"]):
        for hidden in (key, key[11:], digest(key.encode(), secret).hex()):
            assert [answer.url for answer in answers if hidden in answer.text] == []
            assert hidden not in caplog.text


def test_a_list_comes_in_pages_oldest_first(client: httpx.Client) -> None:
    ids = [made(client, organization="org:acme" if number % 2 else None)[0]["id"] for number in range(5)]
    seen: list[str] = []
    after = ""
    while True:
        page = client.get(KEYS, params={"limit": 2, "after": after}).json()
        seen += [key["id"] for key in page["data"]]
        if not page["has_more"]:
            break
        after = page["last_id"]
    assert sorted(seen) == sorted(ids)
    assert seen == sorted(seen)
    mine = client.get(KEYS, params={"organization": "org:acme"}).json()
    assert {key["id"] for key in mine["data"]} == {ids[1], ids[3]}


def test_a_change_touches_what_it_states_and_nothing_else(client: httpx.Client) -> None:
    key, etag = made(client, name="web", models=["qwen"], limits={"requests_per_minute": 5, "tokens_per_day": 9})
    answer = client.patch(
        f"{KEYS}/{key['id']}", json={"limits": {"tokens_per_day": 10}, "models": None}, headers={"if-match": etag}
    )
    after = answer.json()
    assert answer.headers["etag"] != etag
    assert (after["name"], after["models"]) == ("web", None)
    assert (after["limits"]["requests_per_minute"], after["limits"]["tokens_per_day"]) == (5, 10)


def test_a_change_that_changes_nothing_leaves_version_and_audit_alone(client: httpx.Client) -> None:
    key, etag = made(client, name="web")
    answer = client.patch(f"{KEYS}/{key['id']}", json={"name": "web"}, headers={"if-match": etag})
    assert (answer.status_code, answer.headers["etag"]) == (200, etag)
    assert [entry["action"] for entry in client.get("/admin/v1/audit").json()["data"]] == ["key.create"]


@pytest.mark.parametrize("headers", [{}, {"if-match": "*"}, {"if-match": ""}])
def test_without_a_version_nothing_is_changed(client: httpx.Client, headers: dict[str, str]) -> None:
    key, _ = made(client, name="web")
    for answer in (
        client.patch(f"{KEYS}/{key['id']}", json={"name": "x"}, headers=headers),
        client.post(f"{KEYS}/{key['id']}/rotate", json={}, headers=headers),
    ):
        assert (answer.status_code, error_of(answer)["code"]) == (428, "precondition_required")
    assert client.get(f"{KEYS}/{key['id']}").json()["name"] == "web"


def test_an_older_version_is_412_and_told_the_newer_one(client: httpx.Client) -> None:
    key, etag = made(client, name="web")
    path = f"{KEYS}/{key['id']}"
    newer = client.patch(path, json={"name": "x"}, headers={"if-match": f"W/{etag}"}).headers["etag"]
    late = client.patch(path, json={"name": "y"}, headers={"if-match": etag})
    assert (late.status_code, error_of(late)["code"], late.headers["etag"]) == (412, "precondition_failed", newer)
    assert client.patch(path, json={"name": "y"}, headers={"if-match": f'"other", {newer}'}).status_code == 200


def test_of_many_changes_of_one_version_one_wins(server: AdminServer, client: httpx.Client) -> None:
    key, etag = made(client, name="web")

    def change(number: int) -> int:
        with server.client() as one:
            return one.patch(
                f"{KEYS}/{key['id']}", json={"name": f"by {number}"}, headers={"if-match": etag}
            ).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(change, range(8)))
    assert answers == [200] + [412] * 7
    changes = client.get("/admin/v1/audit", params={"target": key["id"]}).json()["data"]
    assert [entry["action"] for entry in changes] == ["key.update", "key.create"]


def test_revocation_needs_no_version_and_happens_once(client: httpx.Client) -> None:
    key, etag = made(client)
    path = f"{KEYS}/{key['id']}"
    first, second = client.post(f"{path}/revoke"), client.post(f"{path}/revoke")
    assert (first.status_code, first.json()["state"]) == (200, "revoked")
    assert second.json() == first.json()
    assert second.headers["etag"] == first.headers["etag"] != etag
    late = client.patch(path, json={"name": "x"}, headers={"if-match": first.headers["etag"]})
    assert (late.status_code, error_of(late)["code"]) == (409, "conflict")
    assert [entry["action"] for entry in client.get("/admin/v1/audit").json()["data"]] == ["key.revoke", "key.create"]


def test_a_rotation_leaves_the_old_key_for_the_overlap(server: AdminServer, client: httpx.Client) -> None:
    old, etag = made(client, organization="org:acme", limits={"tokens_per_minute": 7})
    path = f"{KEYS}/{old['id']}"
    answer = client.post(f"{path}/rotate", json={"overlap_seconds": 3600}, headers={"if-match": etag})
    new = answer.json()
    assert answer.status_code == 201
    assert new["key"] != old["key"]
    assert (new["organization"], new["limits"], new["expires_at"]) == ("org:acme", old["limits"], None)
    before = client.get(path).json()
    assert (before["state"], before["expires_at"], before["rotated_to"]) == (
        "active",
        "2026-11-21T13:00:00Z",
        new["id"],
    )
    server.clock.now += 3600
    assert client.get(path).json()["state"] == "expired"
    again = client.post(f"{path}/rotate", json={}, headers={"if-match": client.get(path).headers["etag"]})
    assert again.status_code == 409


@pytest.mark.parametrize(
    ("wishes", "param"),
    [
        ({"orgnization": "org:acme"}, "orgnization"),
        ({"organization": "acme"}, "organization"),
        ({"organization": "ip:192.0.2.7"}, "organization"),
        ({"organization": "org:Acme"}, "organization"),
        ({"limits": {"requests_per_minute": -1}}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_minute": "5"}}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_minute": True}}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_minute": 10**20}}, "limits.requests_per_minute"),
        ({"limits": {"rpm": 5}}, "limits.rpm"),
        ({"models": []}, "models"),
        ({"models": ["a\n"]}, "models.0"),
        ({"name": "nul\x00"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"metadata": {"a": "b" * 513}}, "metadata.a"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2027-01-01T00:00:00"}, "expires_at"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"id": "key_mine"}, "id"),
    ],
)
def test_what_will_not_do_is_400_and_names_the_field(client: httpx.Client, wishes: dict[str, Any], param: str) -> None:
    answer = client.post(KEYS, json=wishes)
    assert answer.status_code == 400
    assert (error_of(answer)["code"], error_of(answer)["param"]) == ("invalid_request", param)
    assert client.get(KEYS).json()["data"] == []


def test_an_unknown_key_is_404(client: httpx.Client) -> None:
    for answer in (
        client.get(f"{KEYS}/key_none"),
        client.patch(f"{KEYS}/key_none", json={}, headers={"if-match": '"1-0"'}),
        client.post(f"{KEYS}/key_none/revoke"),
        client.post(f"{KEYS}/key_none/rotate", json={}, headers={"if-match": '"1-0"'}),
    ):
        assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")


def test_without_a_secret_no_key_is_made_and_others_are_still_listed(sqlite_settings: DatabaseSettings) -> None:
    with AdminServer(sqlite_settings, Ruling(key_hash_secret=SecretStr(""))) as bare, bare.client() as client:
        answer = client.post(KEYS, json={})
        assert (answer.status_code, error_of(answer)["code"]) == (503, "keys_unavailable")
        assert client.get(KEYS).status_code == 200
