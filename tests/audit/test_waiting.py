"""Nobody's records push out another's, nor do they stand before all of them, and memory is bounded whoever comes."""

import threading
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit import waiting
from gateway.audit.waiting import MAX_BATCH, MAX_BATCH_BYTES, Waiting

ROOM = 10_000


def put_all(queue: Waiting[str], organization: str, size: int) -> int:
    """How many of that size find room, one after the other."""
    number = 0
    while queue.put(organization, organization, size):
        number += 1
    return number


def taken(queue: Waiting[str]) -> list[str]:
    """All that waits, in its order."""
    found: list[str] = []
    queue.close()
    while queue.wait():
        entries = queue.take()
        found += [entry.item for entry in entries]
        queue.release(entries)
    return found


def test_one_that_floods_has_half_and_the_next_one_half_of_the_rest() -> None:
    queue = Waiting[str](ROOM)
    assert [put_all(queue, name, 10) for name in "abc"] == [500, 250, 125]


@given(st.integers(1, 8), st.integers(1, 100))
def test_those_who_flood_at_once_have_equal_shares_and_leave_as_much_to_the_next(number: int, size: int) -> None:
    queue = Waiting[str](ROOM)
    names = "abcdefgh"[:number]
    held = dict.fromkeys(names, 0)
    for _ in range(ROOM // size):
        for name in names:
            held[name] += size * queue.put(name, name, size)
    share = ROOM / (number + 1)
    assert all(share - size <= one <= share + size for one in held.values())
    assert queue.put("next", "next", ROOM - queue.size)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 300)), max_size=300))
def test_one_is_refused_only_where_it_would_have_more_waiting_than_is_free(arriving: list[tuple[str, int]]) -> None:
    queue = Waiting[str](ROOM)
    held: defaultdict[str, int] = defaultdict(int)
    for name, size in arriving:
        fits = held[name] + size <= ROOM - sum(held.values())
        assert queue.put(name, name, size) is fits
        held[name] += size * fits
    assert queue.size == sum(held.values()) <= ROOM


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 500)), max_size=60),
    st.lists(st.booleans(), max_size=60),
)
def test_all_that_found_room_is_taken_once_each_organizations_own_in_their_order(
    arriving: list[tuple[str, int]], pauses: list[bool]
) -> None:
    queue = Waiting[tuple[str, int]](ROOM)
    kept: defaultdict[str, list[int]] = defaultdict(list)
    came: defaultdict[str, list[int]] = defaultdict(list)

    def take() -> None:
        entries = queue.take()
        for entry in entries:
            came[entry.item[0]].append(entry.item[1])
        queue.release(entries)

    for number, (name, size) in enumerate(arriving):
        if queue.put(name, (name, number), size):
            kept[name].append(number)
        if number < len(pauses) and pauses[number] and queue.wait():
            take()
    queue.close()
    while queue.wait():
        take()
    assert came == kept
    assert queue.size == 0


def test_one_that_comes_behind_a_flood_has_its_turn_as_if_it_had_come_with_it() -> None:
    queue = Waiting[str](ROOM)
    flood = put_all(queue, "flood", 10)
    for _ in range(50):
        assert queue.put("late", "late", 10)
    order = taken(queue)
    assert len(order) == flood + 50
    assert order[:100].count("late") == 50


def test_one_that_was_silent_for_long_stands_before_nobody_for_it() -> None:
    """Whoever has been served all the while has used no turns that the other one had."""
    queue = Waiting[str](ROOM)
    for _ in range(100):
        assert queue.put("steady", "steady", 10)
        queue.wait()
        queue.release(queue.take())
    for name in ("late", "steady"):
        for _ in range(50):
            assert queue.put(name, name, 10)
    order = taken(queue)
    assert len(order) == 100
    assert 4 <= order[:10].count("steady") <= 6


def test_turns_are_counted_in_bytes() -> None:
    queue = Waiting[str](ROOM)
    put_all(queue, "large", 1000)
    for _ in range(100):
        assert queue.put("small", "small", 10)
    order = taken(queue)
    assert order.index("small") <= 1
    assert "large" not in order[2:101]


def test_a_batch_is_bounded_and_what_is_left_is_told() -> None:
    queue = Waiting[str](100 * MAX_BATCH_BYTES)
    for _ in range(MAX_BATCH + 1):
        queue.put("a", "small", 1)
    assert queue.wait()
    assert not queue.behind
    assert len(queue.take()) == MAX_BATCH
    assert queue.wait()
    assert queue.behind
    assert len(queue.take()) == 1
    for _ in range(3):
        queue.put("a", "large", 2 * MAX_BATCH_BYTES)
    assert queue.wait()
    assert len(queue.take()) == 1


def test_organizations_of_which_nothing_waits_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MIN_SWEEP", 10)
    queue = Waiting[str](ROOM)
    queue.put("stays", "stays", 10)
    for number in range(10_000):
        assert queue.put(f"org:{number}", "x", 1)
        queue.wait()
        queue.release(entry for entry in queue.take() if entry.item == "x")
    assert len(queue._shares) < waiting.MIN_SWEEP + 10
    assert "stays" in queue._shares
    assert queue.size == 10


def test_what_two_threads_count_is_exact() -> None:
    queue = Waiting[str](10**9)
    seen = 0

    def take() -> None:
        nonlocal seen
        while queue.wait():
            entries = queue.take()
            seen += len(entries)
            queue.release(entries)

    thread = threading.Thread(target=take)
    thread.start()
    for number in range(100_000):
        assert queue.put("abc"[number % 3], "x", 7)
    queue.close()
    thread.join(60)
    assert (seen, queue.size) == (100_000, 0)
    assert [share.size for share in queue._shares.values()] == [0, 0, 0]
