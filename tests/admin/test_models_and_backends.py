"""Tests of the API for models and backends, of the settings and made here, before both databases."""

from typing import Any

import httpx
import pytest

from tests.support.admin import AdminServer

MODELS, BACKENDS = "/admin/v1/models", "/admin/v1/backends"
CODER = {"id": "coder", "kind": "chat", "model": "Qwen/Qwen2.5-Coder-7B"}


def test_the_settings_own_are_listed_beside_those_made_here(client: httpx.Client) -> None:
    client.post(MODELS, json=CODER)
    client.post(BACKENDS, json={"id": "coder0", "model": "coder", "url": "http://coder:8000/"})
    models = client.get(MODELS).json()["data"]
    assert [(one["id"], one["static"], one["source"].split()[0]) for one in models] == [
        ("chat", True, "CHAT_BACKENDS,"),
        ("coder", False, "api"),
    ]
    backends = client.get(BACKENDS).json()["data"]
    assert [(one["id"], one["state"], one["in_flight"], one["url"]) for one in backends] == [
        ("chat0", "healthy", 3, "http://chat0:8000"),
        ("chat1", "healthy", 0, "http://chat1:8000"),
        ("coder0", "unknown", 0, "http://coder:8000"),
    ]
    first = client.get(BACKENDS, params={"limit": 1}).json()
    assert client.get(BACKENDS, params={"after": first["last_id"]}).json()["data"] == backends[1:]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", f"{MODELS}/chat", {"model": "other"}),
        ("DELETE", f"{MODELS}/chat", None),
        ("POST", MODELS, {**CODER, "id": "qwen"}),
        ("POST", MODELS, {**CODER, "settings": {"aliases": ["Qwen/Qwen2.5-7B-Instruct"]}}),
        ("PATCH", f"{BACKENDS}/chat0", {"weight": 2}),
        ("DELETE", f"{BACKENDS}/chat0", None),
        ("POST", BACKENDS, {"id": "chat0", "model": "chat", "url": "http://other:8000"}),
        ("POST", BACKENDS, {"id": "chat9", "model": "chat", "url": "http://chat0:8000"}),
        ("POST", BACKENDS, {"id": "chat9", "model": "chat", "url": "HTTP://CHAT0.:08000"}),
    ],
)
def test_what_the_settings_rule_is_409_that_names_them(
    client: httpx.Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    answer = client.request(method, path, json=body, headers={"if-match": '"1-0"'})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "static_resource")
    assert "CHAT_BACKENDS, CHAT_MODEL and CHAT_ALIASES in the settings" in error["message"]


@pytest.mark.parametrize("name", ["chat0", "coder0"])
def test_a_drain_works_on_both_and_happens_once(client: httpx.Client, name: str) -> None:
    client.post(MODELS, json=CODER)
    client.post(BACKENDS, json={"id": "coder0", "model": "coder", "url": "http://coder:8000"})
    for _ in range(2):
        assert client.post(f"{BACKENDS}/{name}/drain").json()["drained"] is True
    assert client.get(f"{BACKENDS}/{name}").json()["drained"] is True
    for _ in range(2):
        assert client.post(f"{BACKENDS}/{name}/undrain").json()["drained"] is False
    trail = client.get("/admin/v1/audit", params={"target": name}).json()["data"]
    assert [entry["action"] for entry in trail][:2] == ["backend.undrain", "backend.drain"]
    assert len([entry for entry in trail if "drain" in entry["action"]]) == 2
    assert client.post(f"{BACKENDS}/nobody/drain").status_code == 404


def test_a_model_keeps_what_was_stated_and_no_more(server: AdminServer, client: httpx.Client) -> None:
    settings = {"default_parameters": {"top_k": 20}, "policy": "least_inflight", "fallback": None}
    made = client.post(MODELS, json={**CODER, "settings": settings})
    row = server.do(server.database.models.get("coder"))
    assert row.settings == {"default_parameters": {"top_k": 20}, "policy": "least_inflight"}
    etag = {"if-match": made.headers["etag"]}
    changed = client.patch(f"{MODELS}/coder", json={"settings": {"system_prompt_prefix": "Be brief."}}, headers=etag)
    assert changed.json()["settings"] == {"system_prompt_prefix": "Be brief."}
    assert changed.json()["model"] == CODER["model"]
    assert client.patch(f"{MODELS}/coder", json={"model": "x"}, headers=etag).status_code == 412
    assert client.post(MODELS, json=CODER).status_code == 409


@pytest.mark.parametrize(
    ("path", "wrong", "param"),
    [
        (MODELS, {**CODER, "kind": "image"}, "kind"),
        (MODELS, {**CODER, "settings": {"policy": "random"}}, "settings.policy"),
        (MODELS, {**CODER, "settings": {"temprature": 1}}, "settings.temprature"),
        (MODELS, {**CODER, "id": "a b"}, "id"),
        (BACKENDS, {"id": "x", "model": "nope", "url": "http://x:1"}, "model"),
        (BACKENDS, {"id": "x", "model": "chat", "url": "ftp://x"}, "url"),
        (BACKENDS, {"id": "x", "model": "chat", "url": "http://169.254.169.254"}, "url"),
        (BACKENDS, {"id": "x", "model": "chat", "url": "http://u:p@x:1"}, "url"),
        (BACKENDS, {"id": "x/y", "model": "chat", "url": "http://x:1"}, "id"),
        (BACKENDS, {"id": "x", "model": "chat", "url": "http://x:1", "weight": 0}, "weight"),
    ],
)
def test_what_will_not_do_is_400_and_names_the_field(
    client: httpx.Client, path: str, wrong: dict[str, Any], param: str
) -> None:
    answer = client.post(path, json=wrong)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("path", "wrong", "said"),
    [
        (MODELS, {**CODER, "id": "other", "settings": {"aliases": ["coder"]}}, "coder is a name of coder"),
        (MODELS, {**CODER, "id": "other", "settings": {"tool_call_parser": "none-such"}}, "vLLM has "),
        (
            MODELS,
            {**CODER, "id": "other", "settings": {"forced_parameters": {"model": "x"}}},
            "forced_parameters.model",
        ),
        (BACKENDS, {"id": "other0", "model": "coder", "url": "http://coder:8000"}, "is another backend's"),
        (BACKENDS, {"id": "other0", "model": "coder", "url": "http://other:8000/v1"}, "ends with /v1"),
    ],
)
def test_what_the_workers_would_leave_out_is_refused(
    client: httpx.Client, path: str, wrong: dict[str, Any], said: str
) -> None:
    client.post(MODELS, json=CODER)
    client.post(BACKENDS, json={"id": "coder0", "model": "coder", "url": "http://coder:8000"})
    answer = client.post(path, json=wrong)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_a_model_with_backends_stays(client: httpx.Client) -> None:
    etag = {"if-match": client.post(MODELS, json=CODER).headers["etag"]}
    backend = client.post(BACKENDS, json={"id": "coder0", "model": "coder", "url": "http://coder:8000"})
    kept = client.delete(f"{MODELS}/coder", headers=etag)
    assert kept.status_code == 409
    assert "coder0" in kept.json()["error"]["message"]
    moved = client.patch(
        f"{BACKENDS}/coder0",
        json={"url": "http://coder:8001", "active": False},
        headers={"if-match": backend.headers["etag"]},
    )
    assert (moved.json()["url"], moved.json()["active"], moved.json()["weight"]) == ("http://coder:8001", False, 1)
    assert client.delete(f"{BACKENDS}/coder0", headers={"if-match": moved.headers["etag"]}).status_code == 204
    assert client.delete(f"{MODELS}/coder", headers=etag).status_code == 204
