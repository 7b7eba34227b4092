"""The audit trail of real gateways: each request that needs a key has one record, and nothing in it names a person."""

import os
import re
import signal
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.e2e.controlled import MakeHost
from tests.e2e.controlled import make_host as make_host  # noqa: PLC0414 -- a fixture
from tests.support.gateway import KEY, Gateway, RawClient, wait_until

CHAT = "/v1/chat/completions"
CARD = "4111 1111 1111 1111"
ISSUED = "gw-" + "a1B2" * 9 + "Zz"
PROMPT = f"I am jane@example.com, call +49 30 901820, card {CARD}, DE89 3704 0044 0532 0130 00, key {ISSUED} or {KEY}"
CLEAN = "I am [e-mail], call [phone], card [card], [iban], key [redacted] or [redacted]"
PERSONAL = ("jane@", "901820", CARD, "0532", ISSUED, KEY)


def body(prompt: str = PROMPT, **more: Any) -> dict[str, Any]:
    return {"model": "qwen", "messages": [{"role": "user", "content": prompt}], "max_tokens": 5, **more}


class Trail:
    """The files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("audit*.jsonl"))

    def records(self) -> list[dict[str, Any]]:
        lines = [line for file in self.files for line in file.read_bytes().splitlines()]
        return [orjson.loads(line) for line in lines]

    def of(self, request_id: str) -> dict[str, Any]:
        """The one record of one request; waits for it."""
        found = wait_until(lambda: [one for one in self.records() if one["request_id"] == request_id])
        assert len(found) == 1
        record: dict[str, Any] = found[0]
        return record


Made = Callable[..., tuple[Gateway, Trail]]


@pytest.fixture
def audited(make_gateway: MakeGateway, chat_fleet: Fleet, tmp_path: Path) -> Made:
    """Makes a gateway of two workers with an audit trail."""

    def make(**settings: object) -> tuple[Gateway, Trail]:
        folder = tmp_path / "trail"
        known = {"GATEWAY_WORKERS": 2, "AUDIT_PATH": folder, "MAX_RPS_PER_IP": 10_000, "RPS_BURST": 10_000}
        gateway = make_gateway(chat_fleet, **{**known, **settings})
        wait_until(lambda: gateway.events("catalog_written"))  # before it nobody can tell who has opted out
        return gateway, Trail(folder)

    return make


def test_a_record_of_metadata_says_who_asked_what_and_has_no_text(audited: Made) -> None:
    gateway, trail = audited(AUDIT_LOG="metadata")
    with gateway.client() as client:
        answer = client.post(CHAT, json=body(), headers={"x-request-id": "mine"})
    record = trail.of(answer.headers["x-request-id"])
    line = gateway.access_line(answer.headers["x-request-id"])
    told = {
        name: value for name, value in record.items() if name not in {"event", "key_id", "timestamp", "duration_ms"}
    }
    assert told == {name: line[name] for name in told}
    assert told.keys() == line.keys() - {"event", "timestamp", "duration_ms"}
    assert (record["event"], record["key_id"], record["client_request_id"]) == ("audit", None, "mine")
    assert "request" not in record
    assert "jane" not in "".join(file.read_text() for file in trail.files)


def test_a_record_of_contents_has_the_texts_without_what_names_a_person(audited: Made) -> None:
    gateway, trail = audited(AUDIT_LOG="content")
    with gateway.client() as client:
        whole = client.post(CHAT, json=body())
        streamed = client.post(CHAT, json=body(stream=True))
    for answer in (whole, streamed):
        record = trail.of(answer.headers["x-request-id"])
        assert record["request"]["messages"] == [{"role": "user", "content": CLEAN}]
        assert (record["request_cut"], record["response_cut"]) == (False, False)
    told = trail.of(whole.headers["x-request-id"])["response"]["choices"][0]["message"]["content"]
    assert told == whole.json()["choices"][0]["message"]["content"]
    pieces = re.findall(r'"delta":\{[^}]*"content":"((?:[^"\\]|\\.)*)"', streamed.text)
    assert len(pieces) > 2
    assert trail.of(streamed.headers["x-request-id"])["response"]["0.content"] == "".join(
        orjson.loads(f'"{piece}"') for piece in pieces
    )
    text = "".join(file.read_text() for file in trail.files) + gateway.log_text()
    assert [one for one in PERSONAL if one in text] == []


def test_refusals_answers_from_the_cache_and_broken_streams_have_records_too(audited: Made, chat_fleet: Fleet) -> None:
    gateway, trail = audited(AUDIT_LOG="content", CACHE_TTL_SECS=3600, FAILED_AUTH_BURST=100)
    exact = body(temperature=0)
    with gateway.client() as client:
        first, again = client.post(CHAT, json=exact), client.post(CHAT, json=exact)
        refused = client.post(CHAT, json=body(), headers={"authorization": f"Bearer {ISSUED}"})
        wrong = client.post(CHAT, json=body(max_tokens="many"))
        client.get("/health")
        unknown = client.get("/nothing")
    assert trail.of(again.headers["x-request-id"])["cache"] == "hit"
    kept, made = (trail.of(one.headers["x-request-id"])["response"]["choices"] for one in (again, first))
    assert kept == made
    assert trail.of(refused.headers["x-request-id"]).items() >= {"status": 401, "outcome": "invalid_api_key"}.items()
    record = trail.of(wrong.headers["x-request-id"])
    assert (record["status"], record["request"]["max_tokens"]) == (400, "many")
    for name in ("chat0", "chat1"):
        chat_fleet[name].set_pace(token_ms=20)
    with RawClient(gateway.port) as leaving:
        leaving.post(CHAT, body(max_tokens=2000, stream=True)).until(b'"delta":{"content":"')
    left = wait_until(lambda: [one for one in trail.records() if one["outcome"] == "client_gone"])[0]
    assert left["response"]["0.content"]
    assert not [one for one in trail.records() if one["path"] in {"/health", "/nothing"}]
    assert gateway.access_line(unknown.headers["x-request-id"])["status"] == 404


def test_an_organization_that_has_opted_out_has_records_without_texts(make_host: MakeHost) -> None:
    host = make_host(AUDIT_LOG="content", GATEWAY_WORKERS=2)
    trail = Trail(host.data / "audit")
    key_id, key = host.new_key()
    made = host.admin("POST", "/admin/v1/organizations", json={"id": "org:acme", "audit_opt_out": True})
    assert made.status_code == 201, made.text
    with host.gateway.client() as client:

        def asked() -> dict[str, Any]:
            answer = client.post(CHAT, json=body(), headers={"authorization": f"Bearer {key}"})
            return trail.of(answer.headers["x-request-id"])

        record = wait_until(lambda: (found := asked()) and "request" not in found and found)
        assert (record["organization"], record["key"], record["key_id"]) == ("org:acme", key[:11], key_id)
        change = {"json": {"audit_opt_out": False}, "headers": {"if-match": made.headers["etag"]}}
        changed = host.admin("PATCH", "/admin/v1/organizations/org:acme", **change)
        assert changed.status_code == 200, changed.text
        assert wait_until(lambda: asked().get("request"))["messages"][0]["content"] == CLEAN
    assert key not in "".join(file.read_text() for file in trail.files)


def test_several_workers_share_files_of_a_bounded_size_that_nobody_else_may_read(audited: Made) -> None:
    gateway, trail = audited(AUDIT_LOG="content", AUDIT_MAX_BYTES=65536, AUDIT_FILES=3, GATEWAY_WORKERS=4)
    padding = "word " * 400

    def ask(_: int) -> str:
        with gateway.client() as client:
            ids = [client.post(CHAT, json=body(padding)).headers["x-request-id"] for _ in range(10)]
        return ids[-1]

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(ask, range(16)))
    wait_until(lambda: gateway.metrics()['gateway_audit_records_total{kind="content"}'] == 160)
    assert [file.name for file in trail.files] == ["audit.1.jsonl", "audit.2.jsonl", "audit.jsonl"]
    assert all(file.stat().st_size <= 65536 for file in trail.files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in trail.folder.iterdir())
    assert stat.S_IMODE(trail.folder.stat().st_mode) == 0o700
    known = [record["request_id"] for record in trail.records()]
    assert len(set(known)) == len(known) > 40
    assert set(ids) & set(known)
    assert gateway.metrics()["gateway_audit_records_dropped_total"] == 0


def test_a_disk_without_room_costs_records_and_no_request(audited: Made, tmp_path: Path) -> None:
    (tmp_path / "trail").mkdir(0o700)
    (tmp_path / "trail" / "audit.jsonl").symlink_to("/dev/full")  # which the gateway does not follow either
    gateway, trail = audited(AUDIT_LOG="metadata", GATEWAY_WORKERS=1)
    with gateway.client() as client:
        assert [client.post(CHAT, json=body()).status_code for _ in range(5)] == [200] * 5
        wait_until(lambda: gateway.metrics()["gateway_audit_records_dropped_total"] == 5)
        (told,) = wait_until(lambda: gateway.events("audit_not_written"))
        assert told["remedy"]
        (trail.folder / "audit.jsonl").unlink()
        answer = client.post(CHAT, json=body())
    assert trail.of(answer.headers["x-request-id"])["status"] == 200
    wait_until(lambda: gateway.events("audit_written_again"))


def test_workers_that_end_write_what_they_have_and_killed_ones_break_no_line(audited: Made) -> None:
    gateway, trail = audited(AUDIT_LOG="content")
    with gateway.client() as client:
        for _ in range(20):
            client.post(CHAT, json=body())
    killed = gateway.worker_pids()[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: len(gateway.worker_pids()) == 2 and killed not in gateway.worker_pids())
    with gateway.client() as client:  # no connection of the killed one's
        last = client.post(CHAT, json=body()).headers["x-request-id"]
    gateway.stop()
    assert last in {record["request_id"] for record in trail.records()}


@pytest.mark.parametrize("masked", [True, False])
def test_addresses_are_masked_in_lines_and_records_if_asked(audited: Made, *, masked: bool) -> None:
    gateway, trail = audited(AUDIT_LOG="metadata", LOG_MASK_CLIENT_IPS=masked, TRUSTED_PROXIES="127.0.0.1/32")
    shown = {"203.0.113.77": "203.0.113.0", "2001:db8:7:8:9::1": "2001:db8:7::"}
    for address, network in shown.items():
        with gateway.client() as client:
            answer = client.post(CHAT, json=body(), headers={"x-forwarded-for": address})
        request_id = answer.headers["x-request-id"]
        for line in (trail.of(request_id), gateway.access_line(request_id)):
            assert line["client"] == (network if masked else address)
            assert line["organization"].startswith(f"ip:{network if masked else address[:11]}")
    text = gateway.log_text() + "".join(file.read_text() for file in trail.files)
    assert [address in text for address in shown] == [not masked, not masked]


def test_a_key_in_a_path_a_query_or_a_request_id_reaches_no_line(audited: Made) -> None:
    gateway, trail = audited(AUDIT_LOG="content")
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"
    with gateway.client() as client:
        for secret in (ISSUED, KEY, jwt):
            answers = [
                client.get(f"/v1/models/{secret}"),
                client.get(f"/v1/models?api_key={secret}"),
                client.get(f"/{secret}/x?key={secret}"),
                client.get("/v1/models", headers={"x-request-id": secret, "traceparent": secret, "cookie": secret}),
                client.get(f"/api_key={secret[3:]}/x"),
            ]
            for answer in answers:
                assert gateway.access_line(answer.headers["x-request-id"])
    with RawClient(gateway.port) as client:
        client.send(f"GET /v1?api_key={ISSUED} HTTP/1.1\r\nno colon\r\n\r\n".encode()).rest()
    wait_until(lambda: [line for line in gateway.access_lines() if not line["method"]])
    text = gateway.log_text() + "".join(file.read_text() for file in trail.files)
    assert [one for one in (ISSUED, ISSUED[3:], KEY, KEY[3:], jwt, jwt[3:]) if one in text] == []
