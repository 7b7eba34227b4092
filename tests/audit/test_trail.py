"""Each request that needs a key becomes one record, by a thread that no request waits for."""

import gc
import sys
import threading
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.audit import texts, trail
from gateway.audit.choices import AuditLog
from gateway.audit.files import AuditFiles, Outcome
from gateway.audit.settings import AuditSettings
from gateway.audit.trail import Trail
from gateway.core.endpoint import Access, Endpoint
from gateway.core.principal import Principal
from gateway.core.refusal import Refusal
from gateway.middleware.request_scope import UNKNOWN
from gateway.observability.families.family import Family
from gateway.observability.families.processes import AUDIT_RECORDS, AUDIT_RECORDS_DROPPED
from gateway.observability.redaction import Redactor
from tests.core.hand_time import HandTime
from tests.core.requests import CHAT, HEALTH, MODELS, context
from tests.observability.noted import CountedMetrics
from tests.support.gateway import wait_until

pytestmark = pytest.mark.anyio

ADMIN = Endpoint("/admin/{path}", frozenset({"GET"}), access=Access.ADMIN, control=True)


class Book:
    """A trail in a folder, and what it wrote."""

    def __init__(self, folder: Path, kind: AuditLog = AuditLog.CONTENT, **settings: Any) -> None:
        self.folder = folder
        self.metrics = CountedMetrics()
        self.out: set[str] = set()
        self.trail = Trail(
            AuditSettings(audit_log=kind, **settings),
            folder,
            Redactor(["hunter22"]),
            self.out.__contains__,
            HandTime(1001.5),
            self.metrics,
        )

    def records(self) -> list[dict[str, Any]]:
        lines = [line for file in sorted(self.folder.glob("*.jsonl")) for line in file.read_bytes().splitlines()]
        return [orjson.loads(line) for line in lines]

    def counted(self, family: Family, *labels: str) -> float:
        return self.metrics.counted.get((family.name, *labels), 0)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "audit")


async def test_what_was_heard_stands_behind_the_figures(book: Book) -> None:
    ctx = context(CHAT, principal=Principal("org:acme", "key1", "gw-ab12cd"), organization="org:acme", status=200)
    with book.trail:
        heard = book.trail.listen(ctx)
        assert heard is not None
        heard.asked.add(b'{"a": "my hunter22, mail a@b.de"}')
        heard.answered.add(b'{"b": ')
        heard.answered.add(b'"+49 30 901820"}')
        book.trail.record(ctx)
    (record,) = book.records()
    shown = {"request": {"a": "my [redacted], mail [e-mail]"}, "response": {"b": "[phone]"}, "key_id": "key1"}
    assert record.items() >= {**shown, "event": "audit", "key": "gw-ab12cd", "duration_ms": 1500.0}.items()
    assert not book.trail._heard


async def test_a_stream_is_put_together(book: Book) -> None:
    ctx = context(CHAT, event_stream=True)
    with book.trail:
        heard = book.trail.listen(ctx)
        assert heard is not None
        for piece in ("a@", "b.d", "e"):
            heard.answered.add(b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % piece.encode())
        book.trail.record(ctx)
    assert book.records()[0]["response"] == {"0.content": "[e-mail]"}
    assert book.records()[0]["request"] is None


async def test_what_is_beyond_the_bound_is_not_kept_and_said_to_be_cut(tmp_path: Path) -> None:
    book = Book(tmp_path, audit_max_body_bytes=1024)
    ctx = context(CHAT)
    with book.trail:
        heard = book.trail.listen(ctx)
        assert heard is not None
        for _ in range(100):
            heard.answered.add(b"x" * 100)
        heard.asked.add(b"y" * 1024)
        assert len(heard.asked.body) == len(heard.answered.body) == 1024
        book.trail.record(ctx)
    (record,) = book.records()
    assert (record["request_cut"], record["response_cut"]) == (False, True)
    assert record["response"] == "x" * (1024 - texts.CUT_CHARACTERS)


async def test_wrong_keys_have_records_but_not_without_bound(book: Book) -> None:
    with book.trail:
        book.trail.record(context(CHAT, request_id="wrong", status=401))
        book.trail.record(context(CHAT, request_id="again", status=429, refusal=Refusal.FAILED_AUTH))
        book.trail.record(context(CHAT, request_id="too fast", status=429, refusal=Refusal.RATE))
    assert [record["request_id"] for record in book.records()] == ["wrong", "too fast"]


@pytest.mark.parametrize("kind", [AuditLog.METADATA, AuditLog.CONTENT])
async def test_every_request_that_needs_a_key_has_a_record(tmp_path: Path, kind: AuditLog) -> None:
    book = Book(tmp_path, kind)
    with book.trail:
        for number, endpoint in enumerate((CHAT, MODELS, ADMIN, HEALTH, UNKNOWN)):
            book.trail.record(context(endpoint, request_id=f"req{number}", path="/x"))
    assert [record["request_id"] for record in book.records()] == ["req0", "req1", "req2"]
    assert book.counted(AUDIT_RECORDS, str(kind)) == 3


async def test_texts_are_heard_of_relayed_requests_whose_organization_has_not_opted_out(book: Book) -> None:
    book.out.add("org:acme")
    heard = [
        book.trail.listen(context(endpoint, organization=name, request_id=name + endpoint.path))
        for endpoint in (CHAT, MODELS, ADMIN)
        for name in ("org:acme", "org:other")
    ]
    assert [one is not None for one in heard] == [False, True, False, False, False, False]


async def test_a_full_queue_costs_records_which_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "MAX_WAITING_BYTES", 20_000)
    book = Book(tmp_path)
    for _ in range(100):  # nobody takes them yet
        book.trail.record(context(CHAT))
    with book.trail:
        pass
    written = len(book.records())
    assert 0 < written < 10
    assert book.counted(AUDIT_RECORDS, "content") == written
    assert book.counted(AUDIT_RECORDS_DROPPED) == 100 - written
    assert book.trail._waiting.size == 0


@pytest.mark.parametrize("piece", [2, 100, 5000])
async def test_what_waits_is_counted_as_the_memory_that_it_takes(
    tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "MAX_WAITING_BYTES", 4 * 1024 * 1024)
    book = Book(tmp_path)

    def fill() -> None:
        heard = book.trail.listen(ctx := context(CHAT))
        assert heard is not None
        for _ in range(20_000 // piece):
            heard.asked.add(bytes(piece))
            heard.answered.add(bytes(piece))
        book.trail.record(ctx)

    fill()
    gc.collect()
    tracemalloc.start()
    try:
        counted = -book.trail._waiting.size
        while not book.counted(AUDIT_RECORDS_DROPPED):
            fill()
        counted += book.trail._waiting.size
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 1024 * 1024 < counted < 4 * 1024 * 1024
    assert 0.5 * counted < taken < counted


async def test_records_without_texts_are_counted_as_the_memory_that_they_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "MAX_WAITING_BYTES", 4 * 1024 * 1024)
    book = Book(tmp_path, AuditLog.METADATA)
    book.trail.record(context(CHAT))
    gc.collect()
    tracemalloc.start()
    try:
        while not book.counted(AUDIT_RECORDS_DROPPED):
            book.trail.record(context(CHAT))
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < book.trail._waiting.size


async def test_an_organization_that_floods_loses_its_own_records_alone_which_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trail, "MAX_WAITING_BYTES", 100_000)
    book = Book(tmp_path)
    for number in range(1000):  # nobody takes them yet
        book.trail.record(context(CHAT, organization="org:flood"))
        if number % 100 == 0:
            book.trail.record(context(CHAT, organization="org:quiet"))
    with book.trail:
        pass
    written = Counter(record["organization"] for record in book.records())
    assert written["org:quiet"] == 10
    assert 0 < written["org:flood"] < 100
    assert book.counted(AUDIT_RECORDS_DROPPED) == 1010 - written.total()
    said = [vars(record) for record in caplog.records if record.message == "audit_share_used_up"]
    assert [(one["organization"], one["its_records"]) for one in said] == [
        ("org:flood", 1),
        ("org:flood", 999 - written["org:flood"]),
    ]


async def test_a_quiet_organizations_record_is_written_before_a_flood_that_came_first(tmp_path: Path) -> None:
    book = Book(tmp_path)
    for organization in ["org:flood"] * 50 + ["org:quiet"]:
        ctx = context(CHAT, organization=organization)
        heard = book.trail.listen(ctx)
        assert heard is not None
        heard.asked.add(b"x" * 100_000)
        book.trail.record(ctx)
    with book.trail:
        pass
    order = [record["organization"] for record in book.records()]
    assert len(order) == 51
    assert order.index("org:quiet") == 1


async def test_what_a_text_spells_out_is_judged_as_it_is_read(book: Book) -> None:
    ctx = context(CHAT)
    inner = orjson.dumps({"to": "jane@example.com", "card": "x"}).replace(b"@", rb"\u0040")
    with book.trail:
        heard = book.trail.listen(ctx)
        assert heard is not None
        heard.asked.add(orjson.dumps({"arguments": inner.decode(), "key": r"sk-\u0061bcdefgh", "path": r"C:\new\t1"}))
        heard.answered.add(rb"not JSON: jane\u0040example.com")
        book.trail.record(ctx)
    (record,) = book.records()
    assert record["request"] == {
        "arguments": '{"to":"[e-mail]","card":"x"}',
        "key": "[redacted]",
        "path": r"C:\new\t1",
    }
    assert record["response"] == "not JSON: [e-mail]"


async def test_digits_of_any_script_and_parted_by_what_nobody_sees_are_judged_as_they_are_read(book: Book) -> None:
    ctx = context(CHAT)
    phone, address = (in_full_width(text) for text in ("090-1234-5678", "jane@b.de"))
    said = [f"電話は{phone}。", "4111\u200b1111\u200b1111\u200b1111", address, f"全部で{in_full_width('123')}円。"]
    with book.trail:
        heard = book.trail.listen(ctx)
        assert heard is not None
        heard.asked.add(orjson.dumps(said))
        book.trail.record(ctx)
    (record,) = book.records()
    assert record["request"] == ["電話は[phone]。", "[card]", "[e-mail]", said[-1]]


def in_full_width(text: str) -> str:
    return "".join(chr(ord(one) - ord("!") + 0xFF01) for one in text)


async def test_a_folder_that_cannot_be_had_costs_records_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit").write_text("no folder")
    book = Book(tmp_path / "audit")
    caplog.set_level("INFO")
    with book.trail:
        book.trail.record(context(CHAT))
        wait_until(lambda: book.counted(AUDIT_RECORDS_DROPPED) == 1)
        book.trail.record(context(CHAT))
        wait_until(lambda: book.counted(AUDIT_RECORDS_DROPPED) == 2)
        (tmp_path / "audit").unlink()
        book.trail.record(context(CHAT))
        wait_until(lambda: book.counted(AUDIT_RECORDS, "content") == 1)
    assert [record.message for record in caplog.records] == ["audit_not_written", "audit_written_again"]
    assert len(book.records()) == 1


def fail(*_: object, **__: object) -> None:
    raise ValueError("a prompt")


def write_nothing(*_: object, **__: object) -> str:
    return "a prompt \ud800"


@pytest.mark.parametrize("broken", [fail, write_nothing])
async def test_a_body_that_cannot_be_read_costs_its_text_and_is_not_shown(
    book: Book, broken: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trail, "body_texts", broken)
    ctx = context(CHAT)
    with book.trail:
        book.trail.listen(ctx)
        book.trail.record(ctx)
    (record,) = book.records()
    assert record["request"] is record["response"] is None
    assert "a prompt" not in caplog.text
    assert "audit_text_failed" in caplog.text


async def test_nobody_waits_for_a_disk_that_takes_nothing(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "CLOSE_SECS", 0.05)
    freed = threading.Event()

    def write(_: AuditFiles, lines: list[bytes]) -> Outcome:
        freed.wait()
        return Outcome(len(lines))

    monkeypatch.setattr(AuditFiles, "write", write)
    with book.trail:
        for _ in range(1000):
            book.trail.record(context(CHAT))
    assert book.trail._thread.is_alive()
    freed.set()
    book.trail._thread.join(30)
    assert book.counted(AUDIT_RECORDS, "content") == 1000


async def test_threads_make_room_for_each_other_sooner_while_texts_are_read(book: Book) -> None:
    before = sys.getswitchinterval()
    with book.trail:
        assert sys.getswitchinterval() == pytest.approx(trail.SWITCH_SECS)
    assert sys.getswitchinterval() == before
