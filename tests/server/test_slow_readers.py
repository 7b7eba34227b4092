"""Standing still is judged by what was taken, for all connections in one look."""

import asyncio

import pytest

from gateway.server.slow_readers import LOOK_SECS, LOOKS_PER_CAP, SPARE_LOOKS, SlowReaders
from tests.core.hand_time import HandTime

CAP = 60.0


class Loop(HandTime):
    """The loop's clock is the one that is moved by hand."""

    def time(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Loop:
    by_hand = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: by_hand)
    return by_hand


class Reader:
    """A connection whose kernel took so much of what was written, and whose client's kernel no more than `taken`."""

    def __init__(self, readers: SlowReaders, *, written: int = 0, taken: int = 0) -> None:
        self.written = written
        self.taken = taken
        self.held = 0
        self.asked = 0
        self.drops = 0
        self._readers = readers
        readers.watch(self)

    def untaken(self) -> int:
        return self.written - self.taken - self.held

    def undelivered(self) -> int:
        self.asked += 1
        return self.written - self.taken

    def give_up(self) -> None:
        self.drops += 1
        self._readers.forget(self)


def test_a_reader_that_stands_still_is_dropped_once_its_cap_and_a_little_are_over(time: Loop) -> None:
    reader = Reader(SlowReaders(CAP), written=1000, taken=10)
    time.advance(CAP + SPARE_LOOKS * LOOK_SECS - 0.1)
    assert reader.drops == 0
    time.advance(2 * LOOK_SECS)
    assert reader.drops == 1
    time.advance(LOOK_SECS)
    assert time.pending == []


def test_whoever_takes_a_little_now_and_then_stays_though_what_waits_grows(time: Loop) -> None:
    reader = Reader(SlowReaders(CAP), written=1000)
    for _ in range(10):
        time.advance(CAP - 5)
        reader.taken += 1
        reader.written += 500
    assert reader.drops == 0
    time.advance(2 * CAP)
    assert reader.drops == 1


def test_what_the_clients_kernel_takes_of_what_ours_holds_is_taken(time: Loop) -> None:
    reader = Reader(SlowReaders(CAP), written=1_000_000)
    reader.held = 150_000
    for _ in range(10):
        time.advance(CAP - 5)
        reader.taken += 1000
        reader.held -= 1000
    assert reader.drops == 0
    time.advance(2 * CAP)
    assert reader.drops == 1


def test_of_who_is_not_behind_the_kernel_is_not_asked(time: Loop) -> None:
    reader = Reader(SlowReaders(CAP), written=1000)
    reader.held = 1000
    time.advance(2 * CAP)
    assert (reader.asked, reader.drops) == (0, 0)


def test_more_that_is_written_is_nothing_that_is_taken(time: Loop) -> None:
    reader = Reader(SlowReaders(CAP), written=1000)
    for _ in range(10):
        time.advance(CAP / 5)
        reader.written += 500
    assert reader.drops == 1


def test_time_in_which_nothing_waited_does_not_count(time: Loop) -> None:
    reader = Reader(SlowReaders(CAP), written=1000)
    time.advance(CAP - 5)
    reader.taken = 1000
    time.advance(10 * CAP)
    reader.written += 1
    time.advance(CAP - 5)
    assert reader.drops == 0


def test_all_share_one_timer_and_each_is_judged_alone(time: Loop) -> None:
    readers = SlowReaders(CAP)
    still, idle, left = Reader(readers, written=9), Reader(readers), Reader(readers, written=9)
    readers.forget(left)
    assert len(time.pending) == 1
    time.advance(2 * CAP)
    assert (still.drops, idle.drops, left.drops) == (1, 0, 0)
    assert len(time.pending) == 1


def test_a_small_cap_is_looked_at_often(time: Loop) -> None:
    reader = Reader(SlowReaders(1.0), written=9)
    assert time.pending == [pytest.approx(1.0 / LOOKS_PER_CAP)]
    time.advance(1.0 + (SPARE_LOOKS + 2) / LOOKS_PER_CAP)
    assert reader.drops == 1
