"""What a worker reads of the board for the own paths and the planner."""

from dataclasses import replace

import pytest

from gateway.backends.availability import patience
from gateway.backends.board import Board, create_board
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.circuit import Standing, Why
from gateway.backends.health import BackendHealth, Readiness, State
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster, build_roster
from gateway.backends.settings import BackendSettings
from gateway.backends.view import CLOSED, BoardView, CircuitStatus
from gateway.core.clock import Clock, SystemClock
from tests.core.hand_time import HandTime

ROSTER = build_roster(
    BackendSettings.model_validate(
        {
            "backend_api_key": "sk-backends-4f2a",
            "chat_backends": "http://chat0:8000,http://chat1:8000",
            "embed_backend": "http://embed:8000",
        }
    )
)
CHAT, EMBED = ROSTER.groups
INTERVAL = 10.0
WITH_FALLBACK = build_roster(
    BackendSettings.model_validate(
        {
            "backend_api_key": "sk-backends-4f2a",
            "chat_backends": "http://chat0:8000",
            "chat_fallback": "text2sql",
            "text2sql_backend": "http://text2sql:8000",
        }
    )
)


def view_of(board: Board, roster: Roster = ROSTER, clock: Clock | None = None) -> BoardView:
    clock = clock or SystemClock()
    return BoardView(board, Breaker(board, BreakerSettings(), clock), roster, clock, INTERVAL)


@pytest.fixture
def board() -> Board:
    return Board([backend for _, backend in ROSTER.backends()])


@pytest.fixture
def view(board: Board) -> BoardView:
    return view_of(board)


def health(state: State = State.HEALTHY, reason: Reason = Reason.OK, length: int | None = None) -> BackendHealth:
    return BackendHealth(state, reason, since=1.0, max_model_len=length)


def test_before_anybody_was_asked_the_gateway_is_loading(view: BoardView) -> None:
    assert view.ready() == Readiness(ready=False, reason="loading")
    assert {status.health.reason for status in view.statuses()} == {Reason.NOT_PROBED}


@pytest.mark.parametrize("state", [State.HEALTHY, State.BUSY])
def test_one_chat_backend_in_rotation_is_enough(board: Board, view: BoardView, state: State) -> None:
    board.publish("chat0", health(State.DOWN, Reason.UNREACHABLE))
    board.publish("chat1", health(state))
    assert view.ready() == Readiness(ready=True, reason="ok")


def test_an_embedding_backend_makes_nothing_ready(board: Board, view: BoardView) -> None:
    for name in ("chat0", "chat1"):
        board.publish(name, health(State.DOWN, Reason.WRONG_KEY))
    board.publish("embed", health())
    assert view.ready() == Readiness(ready=False, reason="wrong_key")


def test_a_chat_backend_that_still_loads_is_waited_for(board: Board, view: BoardView) -> None:
    board.publish("chat0", health(State.DOWN, Reason.WRONG_KEY))
    board.publish("chat1", health(State.LOADING, Reason.UNREACHABLE))
    assert view.ready() == Readiness(ready=False, reason="loading")


@pytest.mark.parametrize("reason", [Reason.RECOVERING, Reason.STALLED, Reason.DRAINING])
def test_whoever_is_out_of_rotation_makes_nothing_ready(board: Board, view: BoardView, reason: Reason) -> None:
    state = State.DRAINING if reason is Reason.DRAINING else State.DOWN
    for name in ("chat0", "chat1"):
        board.publish(name, health(state, reason))
    assert view.ready() == Readiness(ready=False, reason=reason)


def test_a_fallback_in_rotation_makes_it_ready_and_is_named_as_the_reason() -> None:
    board = Board([backend for _, backend in WITH_FALLBACK.backends()])
    view = view_of(board, WITH_FALLBACK)
    board.publish("chat0", health(State.DOWN, Reason.UNREACHABLE))
    assert view.ready() == Readiness(ready=False, reason="unreachable")
    board.publish("text2sql", health())
    assert view.ready() == Readiness(ready=True, reason="fallback")
    board.publish("chat0", health())
    assert view.ready() == Readiness(ready=True, reason="ok")


@pytest.mark.parametrize(
    ("state", "before", "silent"),
    [
        (State.HEALTHY, Readiness(ready=True, reason="ok"), Readiness(ready=True, reason="not_watched")),
        (State.DOWN, Readiness(ready=False, reason="unreachable"), Readiness(ready=False, reason="not_watched")),
    ],
)
def test_of_a_prober_that_is_silent_the_last_word_stands_and_is_called_so(
    board: Board, state: State, before: Readiness, silent: Readiness
) -> None:
    time = HandTime()
    view = view_of(board, clock=time)
    reason = Reason.OK if state is State.HEALTHY else Reason.UNREACHABLE
    for name in ("chat0", "chat1"):
        board.publish(name, replace(health(state, reason), latency=0.1, running=1.0, waiting=0.0))
    board.beat(time.now)
    time.advance(patience(INTERVAL))
    assert (view.ready(), view.statuses()[0].health.reason) == (before, reason)
    time.advance(0.1)
    assert view.ready() == silent
    chat0 = view.statuses()[0]
    assert (chat0.health.state, chat0.health.reason, chat0.well) == (state, Reason.NOT_WATCHED, False)
    assert (chat0.health.latency, chat0.health.running, chat0.health.waiting) == (None, None, None)
    board.beat(time.now)
    assert (view.ready(), view.statuses()[0].health.reason) == (before, reason)


def test_statuses_tell_the_circuits() -> None:
    board, time = Board([backend for _, backend in ROSTER.backends()]), HandTime()
    view, breaker = view_of(board, clock=time), Breaker(board, BreakerSettings(), time)
    for name in ("chat0", "chat1", "embed"):
        board.publish(name, health())
    breaker.trip(1, Why.FAILURES)
    chat0, chat1, embed = view.statuses()
    assert (chat0.circuit, embed.circuit) == (CLOSED, CLOSED)
    assert chat1.circuit == CircuitStatus(Standing.OPEN, Why.FAILURES, time.now + 30)
    assert [chat0.well, chat1.well] == [True, False]
    time.advance(30)
    assert view.statuses()[1].circuit.standing is Standing.HALF_OPEN


def test_statuses_stand_in_the_rosters_order_with_our_requests_there(board: Board, view: BoardView) -> None:
    board.publish("embed", health())
    board.begin(board.index("embed"))
    statuses = view.statuses()
    assert [status.backend.name for status in statuses] == ["chat0", "chat1", "embed"]
    assert (statuses[2].group, statuses[2].health.state, statuses[2].in_flight) == (EMBED, State.HEALTHY, 1)


def test_the_context_length_is_the_least_that_a_replica_states_and_follows_the_board(
    board: Board, view: BoardView
) -> None:
    assert view.max_model_len(CHAT) is None
    board.publish("chat0", health(length=8192))
    assert view.max_model_len(CHAT) == 8192
    board.publish("chat1", health(length=4096))
    assert (view.max_model_len(CHAT), view.max_model_len(EMBED)) == (4096, None)
    board.publish("chat1", health(State.DOWN, Reason.UNREACHABLE, length=16384))
    assert view.max_model_len(CHAT) == 8192


def test_the_context_length_is_that_of_who_is_in_rotation_while_anybody_is(board: Board, view: BoardView) -> None:
    board.publish("chat0", health(length=8192))
    board.publish("chat1", health(State.DOWN, Reason.UNREACHABLE, length=512))
    assert view.max_model_len(CHAT) == 8192
    board.publish("chat1", health(State.BUSY, Reason.QUEUEING, length=512))
    assert view.max_model_len(CHAT) == 512
    board.publish("chat1", health(State.DOWN, Reason.UNREACHABLE, length=512))
    board.publish("chat0", health(State.DOWN, Reason.UNREACHABLE, length=8192))
    assert view_of(board).max_model_len(CHAT) == 512  # of a worker that begins then too
    board.publish("chat0", health())  # in rotation, and says nothing
    assert view.max_model_len(CHAT) == 512


def test_what_another_process_publishes_is_seen() -> None:
    page = create_board()
    backends = [backend for _, backend in ROSTER.backends()]
    theirs, ours = Board(backends, page), view_of(Board(backends, page, row=1))
    assert not ours.ready().ready
    theirs.publish("chat0", health(length=8192))
    assert ours.ready().ready
    assert ours.max_model_len(CHAT) == 8192
