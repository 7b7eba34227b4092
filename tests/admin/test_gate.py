"""Tests of who may ask the admin API, with how much, and how failures look; before one database, as none is asked."""

from collections.abc import Iterator

import httpx
import pytest

from gateway.core.control_wire import MAX_BODY_BYTES
from gateway.database.settings import DatabaseSettings
from tests.support.admin import ADMIN_KEY, OTHER_ADMIN_KEY, AdminServer, Ruling

KEYS = "/admin/v1/keys"


@pytest.fixture
def server(sqlite_settings: DatabaseSettings) -> Iterator[AdminServer]:
    with AdminServer(sqlite_settings) as running:
        yield running


@pytest.mark.parametrize(
    "headers",
    [
        {"x-admin-key": ADMIN_KEY},
        {"x-admin-key": OTHER_ADMIN_KEY},
        {"authorization": f"Bearer {ADMIN_KEY}"},
        {"authorization": f"bearer  {OTHER_ADMIN_KEY}"},
    ],
)
def test_each_admin_key_is_taken_in_either_header(server: AdminServer, headers: dict[str, str]) -> None:
    assert httpx.get(f"{server.url}{KEYS}", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-admin-key": ""},
        {"x-admin-key": ADMIN_KEY[:-1]},
        {"x-admin-key": f"{ADMIN_KEY}, {OTHER_ADMIN_KEY}"},
        {"x-admin-key": "wrong", "authorization": f"Bearer {ADMIN_KEY}"},
        {"authorization": ADMIN_KEY},
        {"authorization": f"Basic {ADMIN_KEY}"},
    ],
)
@pytest.mark.parametrize("path", [KEYS, "/admin/openapi.json", "/admin/no/such", "/admin/quotas"])
def test_all_others_are_401_whatever_they_ask_for(server: AdminServer, headers: dict[str, str], path: str) -> None:
    answer = httpx.get(f"{server.url}{path}", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", [KEYS, "/admin/openapi.json", "/admin/quotas", "/admin"])
def test_without_an_admin_key_there_is_no_admin_api(sqlite_settings: DatabaseSettings, path: str) -> None:
    with AdminServer(sqlite_settings, Ruling(admin_api_key=[])) as off:
        for key in ("", ADMIN_KEY):
            answer = httpx.get(f"{off.url}{path}", headers={"x-admin-key": key})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        mine = httpx.get(f"{off.url}/v1/usage", headers={"x-gateway-principal": '{"organization": "ip:192.0.2.7"}'})
        assert mine.status_code == 200


def test_a_client_without_a_principal_of_a_worker_is_401(server: AdminServer) -> None:
    for headers in ({}, {"x-gateway-principal": "{}"}, {"x-gateway-principal": "["}, {"x-admin-key": ADMIN_KEY}):
        assert httpx.get(f"{server.url}/v1/usage", headers=headers).status_code == 401


def test_who_asks_stands_in_the_trail(server: AdminServer) -> None:
    for key, actor in ((ADMIN_KEY, ""), (OTHER_ADMIN_KEY, "alice")):
        with server.client(key, **({"x-admin-actor": actor} if actor else {})) as client:
            client.post(KEYS, json={})
    assert [entry.actor for entry in server.do(server.database.audit.list())] == ["alice (admin-key-2)", "admin-key-1"]
    with server.client() as client:
        refused = client.post(KEYS, json={}, headers={"x-admin-actor": "a" * 65})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "x-admin-actor")


@pytest.mark.parametrize("body", [b"{", b"nonsense", b'{"name": NaN}', b'"\xff"', b'{"name": "\\ud800"}', b"[" * 5000])
def test_what_is_no_json_is_400(server: AdminServer, body: bytes) -> None:
    with server.client() as client:
        answer = client.post(KEYS, content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_json_is_taken_whatever_its_type_is_called(server: AdminServer) -> None:
    with server.client() as client:
        for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
            assert client.post(KEYS, content=b"{}", headers={"content-type": kind}).status_code == 201


def test_a_body_without_end_is_413_stated_or_not(server: AdminServer) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 65_536 + 1):
            yield b" " * 65_536

    with server.client() as client:
        stated = client.post(KEYS, content=b" " * (MAX_BODY_BYTES + 1))
        assert (stated.status_code, stated.headers["connection"]) == (413, "close")
    with server.client() as client:
        assert client.post(KEYS, content=endless()).status_code == 413


def test_another_method_is_405_and_told_all_that_there_are(server: AdminServer) -> None:
    with server.client() as client:
        answer = client.put(KEYS, json={})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
        assert client.head(KEYS).status_code == 200
        assert client.head(KEYS).text == ""


def test_a_path_that_is_none_is_404(server: AdminServer) -> None:
    with server.client() as client:
        for path in ("/admin/v2/keys", "/admin/v1/keys/", "/", "/v1/models"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_defect_is_500_and_shows_nothing_of_itself(
    server: AdminServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise LookupError("secret-words")

    monkeypatch.setattr(server.live, "today", broken)
    with server.client() as client:
        answer = client.get("/admin/v1/usage")
    assert answer.status_code == 500
    assert "secret-words" not in answer.text
    assert [record.message for record in caplog.records if record.name == "gateway.admin.gate"] == ["admin_failed"]
