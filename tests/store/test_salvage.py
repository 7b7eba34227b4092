"""A file that was spoilt while nobody lived on it is replaced, and kills nobody; one that somebody has is left."""

import math
import os
import random
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from gateway.core.clock import SystemClock
from gateway.observability.logs import fields_of
from gateway.store import salvage
from gateway.store.errors import StoreUnavailableError
from gateway.store.lmdb import LmdbStore
from gateway.store.protocol import Bucket
from gateway.store.records import BUCKET, FULL_AT, LOAN, NEWEST_WORKER, NUMBER, TURN
from tests.store.racing import ORGANIZATION, crew, settings

pytestmark = pytest.mark.anyio

SLOW_BUCKET = Bucket(rate=0.001, capacity=10)
PAGE = 4096
LEAF = 0x02
CHANCE = random.Random(30)  # noqa: S311 -- a test's dice

Spoil = Callable[[bytearray], bytes | bytearray]


def open_store(directory: Path) -> LmdbStore:
    return LmdbStore(settings(directory), SystemClock())


async def live_and_leave(directory: Path) -> None:
    """Leave some pages of drained buckets behind, and a turn."""
    store = open_store(directory)
    await store.open()
    for number in range(400):
        await store.take(f"organization-{number}", SLOW_BUCKET, cost=10)
    await store.next_turn("chat")
    await store.close()


def in_use(data: bytearray) -> int:
    """The bytes up to the last page that was ever written; the file's two heads state its number."""
    last: list[int] = [struct.unpack_from("=Q", data, head * PAGE + 136)[0] for head in (0, 1)]
    return PAGE * (1 + max(last))


def scribble(data: bytearray, start: int) -> bytearray:
    end = in_use(data)
    data[start:end] = CHANCE.randbytes(end - start)
    return data


def other_version(data: bytearray) -> bytearray:
    for page in (0, 1):
        at = page * PAGE + 20
        assert struct.unpack_from("=II", data, at - 4) == (0xBEEFC0DE, 1)
        struct.pack_into("=I", data, at, 2)
    return data


def one_leaf_everywhere(data: bytearray) -> bytearray:
    """A tree that LMDB walks without complaint, and finds the same keys in over and over."""
    leaves = [at for at in range(2 * PAGE, in_use(data), PAGE) if struct.unpack_from("=H", data, at + 10)[0] == LEAF]
    full = next(at for at in leaves if data.count(b"borganization-", at, at + PAGE) > 20)
    for at in leaves:
        data[at + 8 : at + PAGE] = data[full + 8 : full + PAGE]
    return data


SPOILT: dict[str, Spoil] = {
    "scribbled over": lambda data: scribble(data, 0),
    "scribbled over behind its heads": lambda data: scribble(data, 2 * PAGE),
    "zeroed behind its heads": lambda data: data[: 2 * PAGE] + bytes(len(data) - 2 * PAGE),
    "empty": lambda _: b"",
    "cut within its heads": lambda data: data[:PAGE],
    "cut behind its heads": lambda data: data[: 2 * PAGE],
    "cut in the middle": lambda data: data[: in_use(data) // PAGE // 2 * PAGE],
    "of another version": other_version,
    "with one page in the place of others": one_leaf_everywhere,
}


@pytest.mark.parametrize("how", SPOILT)
async def test_a_spoilt_file_is_replaced_with_one_line_in_the_log(
    directory: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    await live_and_leave(directory)
    file = directory / "data.mdb"
    file.write_bytes(SPOILT[how](bytearray(file.read_bytes())))
    store = open_store(directory)
    await store.open()
    (record,) = caplog.records
    event = fields_of(record)
    assert (record.message, event["limiter_path"]) == ("limits_started_afresh", str(directory))
    assert event["why"]
    assert store.counts().tracked == 0
    for number in range(400):
        assert (await store.take(f"organization-{number}", SLOW_BUCKET, cost=10)).granted
    await store.close()


async def test_a_bucket_of_which_a_killed_worker_held_some_is_kept(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with crew(directory, 1) as (killed,):
        killed.do("look_no_more")
        killed.do("take_at_once", times=2, capacity=100)
        assert killed.do("tokens_held") == 6
        killed.kill()
    store = open_store(directory)
    await store.open()
    assert store.counts().tracked == 1
    assert not (await store.take(ORGANIZATION, Bucket(1e-6, 100), cost=93)).granted
    assert (await store.take(ORGANIZATION, Bucket(1e-6, 100), cost=92)).granted
    await store.close()
    assert caplog.messages == []


async def test_what_was_left_in_order_is_kept_without_a_word(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    await live_and_leave(directory)
    store = open_store(directory)
    await store.open()
    assert store.counts().tracked == 400
    assert not (await store.take("organization-7", SLOW_BUCKET)).granted
    assert await store.next_turn("chat") == 1
    await store.close()
    assert caplog.messages == []


async def test_a_spoilt_marker_is_no_reason_not_to_start(directory: Path) -> None:
    await live_and_leave(directory)
    (directory / "layout").write_bytes(b"\xff\xfe")
    store = open_store(directory)
    await store.open()
    assert store.counts().tracked == 0
    await store.close()


async def test_a_file_that_cannot_be_read_in_time_is_replaced(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await live_and_leave(directory)
    monkeypatch.setattr(salvage, "PATIENCE_SECS", 0.0)
    store = open_store(directory)
    await store.open()
    (record,) = caplog.records
    assert "not read within 0 s" in fields_of(record)["why"]
    assert store.counts().tracked == 0
    await store.close()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (b"x-strange", b"", "no known form"),
        (BUCKET + b"a", b"short", "no known form"),
        (BUCKET + b"a", FULL_AT.pack(float("nan")), "filled at no time"),
        (BUCKET + b"a", FULL_AT.pack(1.0) + bytes(LOAN.size - 1), "no known form"),
        (BUCKET + b"a", FULL_AT.pack(1.0) + LOAN.pack(1, 2.0, math.inf), "held for no time"),
        (BUCKET + b"a", FULL_AT.pack(1.0) + LOAN.pack(1, -2.0, 3.0), "held for no time"),
        (TURN + b"chat", b"\xff" * 8, "nobody has reached"),
        (NEWEST_WORKER, b"\x80" + bytes(7), "nobody has reached"),
    ],
)
async def test_a_record_that_no_gateway_wrote_spoils_the_file(
    directory: Path, key: bytes, value: bytes, words: str
) -> None:
    with lmdb.open(str(directory)) as made:
        with made.begin(write=True) as tree:
            tree.put(TURN + b"embed", NUMBER.pack(3))
        assert salvage.salvage(directory) == [(TURN + b"embed", NUMBER.pack(3))]
        with made.begin(write=True) as tree:
            tree.put(key, value)
    with pytest.raises(salvage.SpoiltError, match=words):
        salvage.salvage(directory)


async def test_a_file_that_somebody_lives_on_is_left_to_them_whatever_is_in_it(directory: Path) -> None:
    file = directory / "data.mdb"
    with crew(directory, 1) as (dweller,):
        dweller.do("hold", limit=1)
        before = file.stat()
        second = open_store(directory)
        await second.open()
        assert second.counts().in_flight == 1
        await second.close()
        assert dweller.process.pid
        os.kill(dweller.process.pid, signal.SIGSTOP)  # it would read what is now spoilt
        with file.open("r+b") as data:
            data.write(b"\xff" * 2 * PAGE)
        with pytest.raises(StoreUnavailableError, match="cannot be opened"):
            await open_store(directory).open()
        assert file.stat().st_ino == before.st_ino
        assert file.read_bytes()[:2] == b"\xff\xff"
        dweller.kill()
    third = open_store(directory)
    await third.open()
    assert third.counts().in_flight == 0
    await third.close()
