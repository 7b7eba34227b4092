"""Each kind of silence has its own cap, and one timer keeps all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.core.context import RequestContext
from gateway.core.lifeline import Cut
from gateway.proxy.settings import ProxySettings
from gateway.proxy.watchdog import Watchdog
from tests.core.hand_time import HandTime
from tests.core.requests import context

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

    def __init__(self, **settings: float) -> None:
        self.time = HandTime(STARTED)
        self.ctx: RequestContext = context(started=STARTED)
        self._cuts = Cuts(self.time)
        self.ctx.lifeline = self._cuts  # type: ignore[assignment]  # the one method that a watchdog calls
        caps = {"max_request_secs": 100, "stream_idle_timeout_secs": 10, "client_write_timeout_secs": 6, **settings}
        self.dog = Watchdog(self.ctx, ProxySettings.model_validate(caps), self.time)
        self.dog._loop = self.time  # type: ignore[assignment]  # the one method that a watchdog calls

    @property
    def cuts(self) -> list[tuple[Any, Cut]]:
        return self._cuts.noted

    def token(self) -> None:
        self.dog.progress(self.time.now)

    @contextmanager
    def writing(self) -> Iterator[None]:
        self.dog.writing(self.time.now)
        yield
        self.dog.written()


async def test_a_request_lives_as_long_as_its_cap_from_its_arrival() -> None:
    request = Request()
    request.time.advance(40)
    with request.dog:
        request.time.advance(59.9)
        assert request.cuts == []
        request.time.advance(1)
    assert request.cuts == [(100, Cut.LIFETIME)]


async def test_a_request_that_came_too_late_is_cut_at_once_and_once() -> None:
    request = Request()
    request.time.advance(150)
    with request.dog:
        request.time.advance(100)
    assert request.cuts == [(150, Cut.LIFETIME)]


async def test_the_scopes_end_leaves_no_timer() -> None:
    request = Request()
    with request.dog:
        request.dog.expect_tokens()
        request.token()
    assert request.time.pending == []
    request.time.advance(1000)
    assert request.cuts == []


async def test_after_a_cut_the_scope_ends_quietly() -> None:
    request = Request()
    with request.dog:
        request.time.advance(100)
        request.token()
        with request.writing():
            pass
        assert request.time.pending == []
    assert len(request.cuts) == 1


async def test_only_the_lifetime_counts_before_the_first_token() -> None:
    request = Request()
    with request.dog:
        request.dog.expect_tokens()
        request.time.advance(99)
        assert request.cuts == []
        request.time.advance(1)
    assert request.cuts == [(100, Cut.LIFETIME)]


async def test_the_first_token_has_a_cap_where_an_operator_set_one() -> None:
    request = Request(first_token_timeout_secs=20)
    with request.dog:
        request.time.advance(5)
        request.dog.expect_tokens()
        request.time.advance(100)
    assert request.cuts == [(25, Cut.FIRST_TOKEN)]


async def test_a_whole_answer_has_no_first_token() -> None:
    request = Request(first_token_timeout_secs=20)
    with request.dog:
        request.time.advance(99)
    assert request.cuts == []


async def test_silence_is_counted_from_the_last_token() -> None:
    request = Request(first_token_timeout_secs=20)
    with request.dog:
        request.dog.expect_tokens()
        for _ in range(3):
            request.time.advance(9)
            request.token()
        request.time.advance(9.9)
        assert request.cuts == []
        request.time.advance(50)
    assert request.cuts == [(37, Cut.IDLE)]


async def test_tokens_for_ever_are_ended_by_the_lifetime() -> None:
    request = Request()
    with request.dog:
        request.dog.expect_tokens()
        for _ in range(30):
            request.time.advance(4)
            request.token()
    assert request.cuts == [(100, Cut.LIFETIME)]


async def test_a_token_costs_no_timer() -> None:
    request = Request()
    with request.dog:
        request.dog.expect_tokens()
        request.token()
        before = request.time.timers_set
        for _ in range(1000):
            request.time.advance(0.001)
            request.token()
            with request.writing():
                pass
        assert request.time.timers_set == before
        assert len(request.time.pending) == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("begins", [0.0, 1.0, 5.0, 5.999, 6.0, 13.0])
async def test_a_client_that_takes_nothing_is_cut_by_its_own_cap(*, streamed: bool, begins: float) -> None:
    request = Request(stream_idle_timeout_secs=50)
    with request.dog:
        if streamed:
            request.dog.expect_tokens()
            request.token()
        request.time.advance(begins)
        request.dog.writing(request.time.now)
        request.time.advance(5.9)
        assert request.cuts == []
        request.time.advance(5)
    assert request.cuts == [(pytest.approx(begins + 6), Cut.SLOW_CLIENT)]


async def test_the_idle_cap_stands_still_while_the_client_is_waited_for() -> None:
    request = Request(client_write_timeout_secs=60)
    with request.dog:
        request.dog.expect_tokens()
        request.token()
        request.time.advance(4)
        with request.writing():
            request.time.advance(30)
        request.time.advance(5.9)
        assert request.cuts == []
        request.time.advance(1)
    assert request.cuts == [(40, Cut.IDLE)]


@pytest.mark.parametrize("write_cap", [6, 12, 60])
@pytest.mark.parametrize("waited", [0.5, 5.0, 5.9])
@pytest.mark.parametrize("before", [0.0, 3.0, 9.0])
async def test_silence_behind_a_write_is_cut_on_time(write_cap: float, waited: float, before: float) -> None:
    request = Request(client_write_timeout_secs=write_cap, stream_idle_timeout_secs=10)
    with request.dog:
        request.dog.expect_tokens()
        request.time.advance(50)
        request.token()
        request.time.advance(before)
        with request.writing():
            request.time.advance(waited)
        request.time.advance(40)
    assert request.cuts == [(pytest.approx(60 + waited), Cut.IDLE)]


async def test_a_client_that_takes_a_ping_slowly_does_not_put_the_first_tokens_cap_off() -> None:
    request = Request(first_token_timeout_secs=20, client_write_timeout_secs=50)
    with request.dog:
        request.dog.expect_tokens()
        request.time.advance(19)
        with request.writing():
            request.time.advance(2)
            assert request.cuts == []
        request.time.advance(0)
    assert request.cuts == [(21, Cut.FIRST_TOKEN)]


async def test_many_slow_writes_are_no_slow_client() -> None:
    request = Request()
    with request.dog:
        request.dog.expect_tokens()
        for _ in range(18):
            request.token()
            with request.writing():
                request.time.advance(5.5)
    assert request.cuts == []


async def test_a_timer_that_fires_a_millisecond_early_counts() -> None:
    request = Request()
    request.time.early = 0.0015
    with request.dog:
        request.time.advance(200)
    assert request.cuts == [(pytest.approx(99.9985), Cut.LIFETIME)]


async def test_the_timer_is_the_running_loops() -> None:
    request = Request(max_request_secs=0.01)
    dog = Watchdog(request.ctx, ProxySettings(max_request_secs=100), request.time)
    with dog:
        assert dog._handle is not None
        assert not dog._handle.cancelled()
        handle = dog._handle
    assert handle.cancelled()
