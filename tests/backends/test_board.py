"""What one process says on the board, the others read: whole or not at all, whatever becomes of who wrote it."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.backends import board as board_module
from gateway.backends.board import Board, create_board
from gateway.backends.board_layout import BACKENDS, BOARD_BYTES, LAYOUT, ROWS, VERDICT_BYTES, HeadWord
from gateway.backends.health import State
from gateway.core.fleet import Backend
from tests.backends.sharing import FLEET, HEALTHY, crew, is_whole, numbered


@pytest.fixture
def page() -> Iterator[int]:
    made = create_board()
    yield made
    os.close(made)


def test_what_the_prober_publishes_every_process_reads(page: int) -> None:
    prober, worker = Board(FLEET, page), Board(FLEET, page, 1)
    assert worker.verdict("chat1") is None
    found = replace(HEALTHY, since=12.5, models=("qwen", "n\u00e4me"), max_model_len=8192, latency=0.001)
    prober.publish("chat1", found)
    assert worker.verdict("chat1") == found
    assert worker.verdict("chat0") is None
    prober.publish("chat1", replace(found, state=State.DOWN))
    assert worker.verdict("chat1") == replace(found, state=State.DOWN)


def test_a_verdict_is_decoded_once(page: int) -> None:
    board = Board(FLEET, page)
    board.publish("chat0", HEALTHY)
    assert board.verdict("chat0") is board.verdict("chat0")


def test_the_epoch_changes_with_a_verdict_and_with_nothing_else(page: int) -> None:
    prober, worker = Board(FLEET, page), Board(FLEET, page, 1)
    epochs = [worker.epoch()]
    prober.publish("chat0", HEALTHY)
    epochs.append(worker.epoch())
    prober.publish("chat1", HEALTHY)
    epochs.append(worker.epoch())
    assert len(set(epochs)) == 3
    prober.publish("chat0", HEALTHY)
    prober.beat(1.0)
    worker.begin(0)
    worker.alive(0, 1.0)
    worker.suspect(0, 2.0)
    assert worker.epoch() == epochs[-1]


@pytest.mark.parametrize("before", range(2))
def test_a_verdict_of_which_a_part_is_missing_is_not_read(page: int, before: int) -> None:
    """Whichever part another processor sees first, and whichever verdict stood in that place before."""
    prober = Board(FLEET, page)
    for number in range(before):
        prober.publish("chat0", numbered(1000 + number))
    stood = Board(FLEET, page).verdict("chat0")
    place = BOARD_BYTES - 2 * BACKENDS * VERDICT_BYTES + (before + 1) % 2 * VERDICT_BYTES
    old = os.pread(page, 200, place)
    prober.publish("chat0", numbered(7))
    new = os.pread(page, 200, place)
    length = len(new.rstrip(b"\0"))
    seen = 0
    for first in range(0, length, 4):
        for record in (old[:first] + new[first:], new[:first] + old[first:]):
            os.pwrite(page, record, place)
            reader = Board(FLEET, page)
            health = reader.verdict("chat0")
            assert health is None or health == numbered(7)
            assert health is None or record[:length] == new[:length]
            seen += health is not None
            os.pwrite(page, new, place)
            assert reader.verdict("chat0") == numbered(7)
    assert seen == 1  # what is missing nothing of
    assert stood == (numbered(1000) if before else None)


def test_an_old_verdict_is_not_taken_for_the_new_one(page: int) -> None:
    """On arm64 the version may be seen before the record."""
    prober, worker = Board(FLEET, page), Board(FLEET, page, 1)
    prober.publish("chat0", numbered(1))
    prober.publish("chat0", numbered(2))
    assert worker.verdict("chat0") == numbered(2)
    worker._regions.versions[0] = 3
    assert worker.verdict("chat0") == numbered(2)
    assert Board(FLEET, page).verdict("chat0") is None
    worker._regions.versions[0] = 2
    prober.publish("chat0", numbered(3))
    assert worker.verdict("chat0") == numbered(3)


def test_no_process_reads_a_torn_verdict_while_another_publishes(page: int) -> None:
    with crew(page, 4) as (prober, *readers):
        prober.do("publish_for_ever")
        for reader in readers:
            reader.start("read", 1000)
        assert [reader.result() for reader in readers] == [0, 0, 0]


def test_a_prober_that_is_killed_while_it_publishes_leaves_a_whole_verdict(page: int) -> None:
    for _ in range(5):
        with crew(page, 1) as (prober,):
            prober.do("publish_for_ever")
            worker = Board(FLEET, page, 1)
            while worker.verdict("chat0") is None:
                pass
            prober.kill()
            health = Board(FLEET, page).verdict("chat0")
            assert health is not None
            assert is_whole(health)


def test_a_list_of_models_that_does_not_fit_is_cut(page: int) -> None:
    board = Board(FLEET, page)
    names = tuple(f"adapter-{number:03}-of-a-server-with-many" for number in range(300))
    board.publish("chat0", replace(HEALTHY, models=names, max_model_len=8192))
    found = board.verdict("chat0")
    assert found is not None
    assert found.max_model_len == 8192
    assert 50 < len(found.models) < 300
    assert found.models == names[: len(found.models)]
    epoch = board.epoch()
    board.publish("chat0", replace(HEALTHY, models=names, max_model_len=8192))
    assert board.epoch() == epoch
    board.publish("chat0", replace(HEALTHY, models=("n" * VERDICT_BYTES,)))
    assert board.verdict("chat0") == HEALTHY


def test_a_verdict_in_words_of_another_release_says_nothing(page: int) -> None:
    prober, worker = Board(FLEET, page), Board(FLEET, page, 1)
    prober.publish("chat0", replace(HEALTHY, state="resting"))  # type: ignore[arg-type]  # as a later one might say
    assert worker.verdict("chat0") is None
    prober.publish("chat0", HEALTHY)
    assert worker.verdict("chat0") == HEALTHY


def test_the_prober_beats(page: int) -> None:
    prober, worker = Board(FLEET, page), Board(FLEET, page, 1)
    assert worker.last_beat() == 0.0
    prober.beat(12.25)
    assert worker.last_beat() == 12.25


def test_requests_in_flight_are_summed_over_processes(page: int) -> None:
    board = Board(FLEET, page, ROWS - 1)
    board.begin(1)
    with crew(page, 4) as processes:
        for process in processes:
            process.start("begin_and_end", 1000)
        for process in processes:
            process.result()
    assert board.in_flight(0) == 4000
    assert board.in_flight(1) == 1
    board.clear_row(2)
    assert board.in_flight(0) == 3000
    board.end(1)
    assert board.in_flight(1) == 0


def test_answers_are_summed_over_processes_beside_what_runs(page: int) -> None:
    ours, theirs = Board(FLEET, page, 1), Board(FLEET, page, 2)
    for board in (ours, theirs):
        for _ in range(1000):
            board.begin(0)
            board.begin(0)
            board.answered(0)
    assert (ours.in_flight(0), ours.answers(0)) == (2000, 2000)
    assert (ours.in_flight(1), ours.answers(1)) == (0, 0)
    ours.end(0)
    assert (ours.in_flight(0), ours.answers(0)) == (1999, 2000)
    ours.clear_row(2)
    assert (ours.in_flight(0), ours.answers(0)) == (999, 1000)


def test_the_last_sign_of_life_is_the_latest_of_any_worker(page: int) -> None:
    first, second = Board(FLEET, page), Board(FLEET, page, 1)
    assert first.last_alive(0) == 0.0
    first.alive(0, 20.0)
    second.alive(0, 10.0)
    second.alive(1, 5.0)
    assert [second.last_alive(0), first.last_alive(1)] == [20.0, 5.0]
    second.clear_row(0)
    assert second.last_alive(0) == 10.0


def test_a_row_counts_from_the_moment_when_the_supervisor_clears_it(page: int) -> None:
    supervisor = Board(FLEET, page)
    supervisor.clear_row(5)
    assert supervisor._regions.head[HeadWord.ROWS_USED] == 6
    Board(FLEET, page, 3)
    assert supervisor._regions.head[HeadWord.ROWS_USED] == 6


def test_any_worker_asks_the_prober_to_look(page: int) -> None:
    prober, worker = Board(FLEET, page), Board(FLEET, page, 1)
    assert prober.suspected_until(1) == 0.0
    worker.suspect(1, 101.0)
    assert [prober.suspected_until(0), prober.suspected_until(1)] == [0.0, 101.0]


def test_one_process_at_a_time_is_within(page: int) -> None:
    board = Board(FLEET, page)
    with crew(page, 1) as (other,):
        assert other.do("hold") is True
        with board.exclusive() as held:
            assert not held
        other.start("go on")
        assert other.result() is None
        with board.exclusive() as held:
            assert held


def test_a_holder_that_is_killed_keeps_the_lock_from_nobody(page: int) -> None:
    board = Board(FLEET, page)
    with crew(page, 1) as (other,):
        assert other.do("hold") is True
        other.kill()
        with board.exclusive() as held:
            assert held


def test_while_a_holder_is_stopped_nobody_waits_more_than_once(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(FLEET, page)
    waits: list[int] = []
    monkeypatch.setattr(os, "sched_yield", lambda: waits.append(1))
    with crew(page, 1) as (other,):
        assert other.do("hold") is True
        other.stop()
        for expected in (board_module.TRIES, 1, 1):
            with board.exclusive() as held:
                assert not held
            assert len(waits) == expected
            waits.clear()
        other.go_on()
        other.start("go on")
        assert other.result() is None
        with board.exclusive() as held:
            assert held
        assert other.do("hold") is True
        with board.exclusive() as held:
            assert not held
        assert len(waits) == board_module.TRIES


def test_an_exception_within_gives_the_lock_back(page: int) -> None:
    board = Board(FLEET, page)
    with pytest.raises(ZeroDivisionError), board.exclusive() as held, board.changing():
        _ = held / 0
    assert not board.unsettled()
    with crew(page, 1) as (other,):
        assert other.do("hold") is True


def test_a_board_of_one_process_needs_no_descriptor() -> None:
    board = Board(FLEET)
    board.publish("chat0", HEALTHY)
    board.begin(0)
    assert (board.verdict("chat0"), board.in_flight(0)) == (HEALTHY, 1)
    with board.exclusive() as held:
        assert held


def test_a_generation_takes_over_the_circuits_of_backends_that_are_the_same() -> None:
    old, new = Board(FLEET), Board((Backend("chat0", "http://elsewhere:8000"), FLEET[1], Backend("embed", "http://e")))
    for kind, words in enumerate(old.circuits, 1):
        for index in range(2):
            words[index] = kind * 10 + index  # type: ignore[index]  # of either kind
    epoch = new.epoch()
    new.adopt(old)
    assert [[int(words[index]) for words in new.circuits] for index in range(3)] == [
        [0] * 8,
        [kind * 10 + 1 for kind in range(1, 9)],
        [0] * 8,
    ]
    assert new.epoch() != epoch


def test_a_generation_takes_over_the_verdicts_on_backends_that_are_the_same_and_the_beat() -> None:
    old, new = Board(FLEET), Board((Backend("chat0", "http://elsewhere:8000"), FLEET[1]))
    for backend in FLEET:
        old.publish(backend.name, HEALTHY)
    old.beat(7.0)
    new.adopt(old)
    assert [new.verdict(name) for name in ("chat0", "chat1")] == [None, HEALTHY]
    assert new.last_beat() == 7.0


def test_what_a_board_cannot_hold_is_refused_at_the_start(page: int) -> None:
    many = [Backend(f"chat{number}", f"http://chat{number}") for number in range(BACKENDS + 1)]
    Board(many[:BACKENDS])
    with pytest.raises(ValueError, match="65 backends are configured, and 64 are the most"):
        Board(many)
    with pytest.raises(ValueError, match="one name"):
        Board((FLEET[0], FLEET[0]))
    for row in (-1, ROWS):
        with pytest.raises(ValueError, match=f"row {row} "):
            Board(FLEET, page, row)


def test_a_board_of_another_release_is_refused(page: int) -> None:
    os.pwrite(page, (LAYOUT + 1).to_bytes(8, "little"), 0)
    with pytest.raises(ValueError, match="another release"):
        Board(FLEET, page)


def test_the_memory_is_all_there_and_cannot_be_cut(page: int) -> None:
    assert os.fstat(page).st_blocks * 512 >= BOARD_BYTES
    for size in (0, 2 * BOARD_BYTES):
        with pytest.raises(PermissionError):
            os.ftruncate(page, size)


def test_who_joins_stands_in_its_column_at_every_process_and_whoever_left_is_known_until_the_next(page: int) -> None:
    boards = Board(FLEET, page), Board(FLEET, page, 1)
    new, next_one = Backend("new", "http://new:1", column=63), Backend("next", "http://next:1", column=63)
    for board in boards:
        board.follow({63: new})
    boards[0].publish("new", HEALTHY)
    boards[1].begin(63)
    assert boards[1].verdict("new") == HEALTHY
    assert boards[0].in_flight(boards[0].index("new")) == 1
    for board in boards:
        board.follow({})
        assert board.find(new) == 63
        board.follow({63: next_one})
        assert board.find(new) is None
        assert board.index("next") == 63
        assert board.index("chat1") == 1


def test_a_name_that_moves_is_found_where_it_is_now(page: int) -> None:
    board = Board(FLEET, page)
    board.follow({63: Backend("new", "http://old:1", column=63)})
    board.follow({62: Backend("new", "http://young:1", column=62)})
    assert board.index("new") == 62
    assert board.find(Backend("new", "http://old:1")) is None
