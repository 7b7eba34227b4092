"""Each kind of silence has its own cap, and one timer keeps all of them for all requests."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.core.context import RequestContext
from gateway.core.lifeline import Cut
from gateway.proxy.settings import ProxySettings
from gateway.proxy.watchdog import ROUND_SECS, Rounds, Watchdog
from tests.core.hand_time import HandTime
from tests.core.requests import FakeConnection, context

pytestmark = pytest.mark.anyio

STARTED = 1000.0


class Cuts:
    """Stands in for the request's lifeline: notes when it was cut, and why."""

    def __init__(self, time: HandTime) -> None:
        self._time = time
        self.noted: list[tuple[float, Cut]] = []

    def cut(self, reason: Cut) -> None:
        self.noted.append((self._time.now - STARTED, reason))


class Request:
    """A request under watch: lifetime 100 s, idle 10 s, writing 6 s, and no cap on the first token."""

    def __init__(self, time: HandTime, **settings: float) -> None:
        self.time = time
        caps = {"max_request_secs": 100, "stream_idle_timeout_secs": 10, "client_write_secs": 6, **settings}
        self.tokens: dict[str, float] = {}
        settled = ProxySettings.model_validate(caps)
        self.rounds = Rounds(settled, caps["client_write_secs"], time, self.tokens.__setitem__)
        self.ctx, self.cuts = self.another()
        self.dog: Watchdog

    def another(self) -> tuple[RequestContext, list[tuple[float, Cut]]]:
        cuts = Cuts(self.time)
        ctx = context(started=STARTED)
        ctx.lifeline = cuts  # type: ignore[assignment]  # the one method that is called
        return ctx, cuts.noted

    @contextmanager
    def watched(self, *, streamed: bool = False) -> Iterator[Watchdog]:
        self.dog = self.rounds.watch(self.ctx)
        if streamed:
            self.dog.expect_tokens()
        yield self.dog
        self.rounds.forget(self.dog)

    def holds(self, size: int) -> None:
        """So much of what was written has not been taken."""
        assert isinstance(self.ctx.connection, FakeConnection)
        self.ctx.connection.holds = size

    def token(self) -> None:
        self.dog.progress(self.time.now)

    @contextmanager
    def writing(self) -> Iterator[None]:
        self.dog.writing(self.time.now)
        yield
        self.dog.written()

    def was_cut(self, due: float, reason: Cut) -> bool:
        """Whether it was cut once, for that reason, when it was due or within a round after it."""
        ((moment, why),) = self.cuts
        return due <= moment <= due + self.rounds.every + 1e-6 and why is reason


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> HandTime:
    """Also the timers of the loop that the rounds find."""
    by_hand = HandTime(STARTED)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: by_hand)
    return by_hand


async def test_a_request_lives_as_long_as_its_cap_from_its_arrival(time: HandTime) -> None:
    request = Request(time)
    time.advance(40)
    with request.watched():
        time.advance(59.9)
        assert request.cuts == []
        time.advance(5)
    assert request.was_cut(100, Cut.LIFETIME)


async def test_a_request_that_came_too_late_is_cut_soon_and_once(time: HandTime) -> None:
    request = Request(time)
    time.advance(150)
    with request.watched():
        time.advance(100)
    assert request.was_cut(150, Cut.LIFETIME)


async def test_whoever_is_forgotten_is_not_cut_and_leaves_no_timer(time: HandTime) -> None:
    request = Request(time)
    with request.watched(streamed=True):
        request.token()
    time.advance(request.rounds.every)
    assert time.pending == []
    time.advance(1000)
    assert request.cuts == []


async def test_after_a_cut_the_request_ends_quietly(time: HandTime) -> None:
    request = Request(time)
    with request.watched():
        time.advance(101)
        request.token()
        with request.writing():
            pass
        time.advance(500)
    assert len(request.cuts) == 1


async def test_rounds_go_on_for_whoever_comes_later(time: HandTime) -> None:
    request = Request(time)
    with request.watched():
        pass
    time.advance(50)
    with request.watched():
        time.advance(51)
    assert request.was_cut(100, Cut.LIFETIME)


async def test_all_requests_share_one_timer_and_each_is_judged_by_its_own_silence(time: HandTime) -> None:
    request = Request(time)
    ctx, cuts = request.another()
    with request.watched(streamed=True):
        request.token()
        other = request.rounds.watch(ctx)
        time.advance(8)
        other.progress(time.now)
        assert len(time.pending) == 1
        time.advance(9)
        assert request.was_cut(10, Cut.IDLE)
        assert cuts == []


async def test_only_the_lifetime_counts_before_the_first_token(time: HandTime) -> None:
    request = Request(time)
    with request.watched(streamed=True):
        time.advance(99)
        assert request.cuts == []
        time.advance(2)
    assert request.was_cut(100, Cut.LIFETIME)


async def test_the_first_token_has_a_cap_where_an_operator_set_one(time: HandTime) -> None:
    request = Request(time, first_token_timeout_secs=20)
    time.advance(5)
    with request.watched(streamed=True):
        time.advance(100)
    assert request.was_cut(25, Cut.FIRST_TOKEN)


async def test_a_whole_answer_has_no_first_token(time: HandTime) -> None:
    request = Request(time, first_token_timeout_secs=20)
    with request.watched():
        time.advance(99)
    assert request.cuts == []


async def test_silence_is_counted_from_the_last_token(time: HandTime) -> None:
    request = Request(time, first_token_timeout_secs=20)
    with request.watched(streamed=True):
        for _ in range(3):
            time.advance(9)
            request.token()
        time.advance(9.9)
        assert request.cuts == []
        time.advance(50)
    assert request.was_cut(37, Cut.IDLE)


async def test_tokens_for_ever_are_ended_by_the_lifetime(time: HandTime) -> None:
    request = Request(time)
    with request.watched(streamed=True):
        for _ in range(30):
            time.advance(4)
            request.token()
    assert request.was_cut(100, Cut.LIFETIME)


async def test_neither_a_request_nor_a_token_costs_a_timer(time: HandTime) -> None:
    request = Request(time)
    with request.watched(streamed=True):
        before = time.timers_set
        for _ in range(1000):
            request.token()
            with request.writing():
                pass
            request.rounds.forget(request.rounds.watch(request.ctx))
        assert time.timers_set == before == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("begins", [0.0, 1.0, 5.0, 5.999, 6.0, 13.0])
async def test_a_client_that_takes_nothing_is_cut_by_its_own_cap(
    *, streamed: bool, begins: float, time: HandTime
) -> None:
    request = Request(time, stream_idle_timeout_secs=50)
    with request.watched(streamed=streamed) as dog:
        if streamed:
            request.token()
        time.advance(begins)
        dog.writing(time.now)
        time.advance(5.9)
        assert request.cuts == []
        time.advance(5)
    assert request.was_cut(begins + 6, Cut.SLOW_CLIENT)


@pytest.mark.parametrize("write_cap", [6, 12, 60])
@pytest.mark.parametrize("waited", [0.5, 5.0, 5.9])
@pytest.mark.parametrize("before", [0.0, 3.0, 9.0])
async def test_the_idle_cap_stands_still_while_the_client_is_waited_for(
    write_cap: float, waited: float, before: float, time: HandTime
) -> None:
    request = Request(time, client_write_secs=write_cap)
    with request.watched(streamed=True):
        time.advance(50)
        request.token()
        time.advance(before)
        with request.writing():
            time.advance(waited)
        time.advance(9.9 - before)
        assert request.cuts == []
        time.advance(30)
    assert request.was_cut(60 + waited, Cut.IDLE)


async def test_a_client_that_takes_some_of_a_write_is_slow_but_not_silent(time: HandTime) -> None:
    request = Request(time)
    with request.watched() as dog:
        request.holds(1_000_000)
        dog.writing(time.now)
        for left in range(9, 0, -1):
            time.advance(5)
            request.holds(left * 100_000)
        time.advance(5.5)
        assert request.cuts == []
        time.advance(30)
    assert request.was_cut(51 + request.rounds.every, Cut.SLOW_CLIENT)


async def test_less_that_waits_in_a_later_write_is_no_progress(time: HandTime) -> None:
    request = Request(time)
    with request.watched() as dog:
        request.holds(1_000_000)
        with request.writing():
            time.advance(3)
        request.holds(10)
        dog.writing(time.now)
        time.advance(20)
    assert request.was_cut(9, Cut.SLOW_CLIENT)


async def test_all_the_time_in_which_a_client_was_waited_for_is_not_its_backends(time: HandTime) -> None:
    request = Request(time)
    with request.watched(streamed=True):
        request.token()
        request.holds(1000)
        with request.writing():
            time.advance(5)
            request.holds(500)
            time.advance(5)
        time.advance(9.9)
        assert request.cuts == []
        time.advance(30)
    assert request.was_cut(20, Cut.IDLE)


async def test_a_client_that_takes_a_ping_slowly_does_not_put_the_first_tokens_cap_off(time: HandTime) -> None:
    request = Request(time, first_token_timeout_secs=20, client_write_secs=50)
    with request.watched(streamed=True):
        time.advance(19)
        with request.writing():
            time.advance(2)
            assert request.cuts == []
        time.advance(request.rounds.every)
    assert request.was_cut(21, Cut.FIRST_TOKEN)


async def test_many_slow_writes_are_no_slow_client(time: HandTime) -> None:
    request = Request(time)
    with request.watched(streamed=True):
        for _ in range(18):
            request.token()
            with request.writing():
                time.advance(5.5)
    assert request.cuts == []


@pytest.mark.parametrize(
    ("caps", "every"),
    [({}, 0.3), ({"first_token_timeout_secs": 0.2}, 0.01), ({"client_write_secs": 60}, 0.5)],
    ids=["small caps", "a very small one", "the smallest counts"],
)
async def test_rounds_are_short_against_the_smallest_cap(caps: dict[str, float], every: float, time: HandTime) -> None:
    assert Request(time, **caps).rounds.every == pytest.approx(every)
    assert Rounds(ProxySettings(), 60, time, lambda *_: None).every == ROUND_SECS


async def test_each_round_tells_when_a_stream_of_each_backend_last_had_a_token(time: HandTime) -> None:
    request = Request(time)
    newer, _ = request.another()
    silent, _ = request.another()
    request.ctx.backend, newer.backend, silent.backend = "chat0", "chat0", "chat1"
    with request.watched():
        request.dog.progress(STARTED + 0.1)
        request.rounds.watch(newer).progress(STARTED + 0.2)
        request.rounds.watch(silent).expect_tokens()
        time.advance(ROUND_SECS)
    assert request.tokens == {"chat0": STARTED + 0.2}
