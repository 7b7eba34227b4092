"""Two hosts, each with a board of its own, and what they make of one another's circuits by way of a real server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.choices import BackendsShared
from gateway.backends.circuit import Change, Standing, Why
from gateway.backends.health import BackendHealth, State
from gateway.backends.heritage import Heritage
from gateway.backends.in_common import BARRED_SECS, BEGIN_SECS, DOUBT_SECS, InCommon
from gateway.backends.probed import Probed
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from gateway.store.settings import StoreSettings, default_path
from gateway.store.valkey.circuits import ValkeyCircuits
from tests.store.conftest import HandClock, tell_time_by
from tests.store.valkey.server import Server, running

pytestmark = pytest.mark.anyio

PAUSE = 30.0
WELL = BackendHealth(State.HEALTHY, Reason.OK, since=0.0, latency=0.01)
CUT_OFF = replace(WELL, state=State.DOWN, reason=Reason.NO_ROUTE, latency=None)
HANGS = replace(WELL, state=State.DOWN, reason=Reason.STALLED)


class Host:
    """One host's supervisor and worker. `names` are the backends in its own order: they differ between hosts, and where
    they are upper case, so are the URLs.
    """

    def __init__(
        self, server: Server, clock: HandClock, *, names: str = "ab", shared: BackendsShared = BackendsShared.AUTO
    ) -> None:
        self.clock = clock
        self.changes: list[Change] = []
        urls = [f"http://gpu.{name.lower()}.example:8000" for name in names]
        spelled = [url.upper() if name.isupper() else url for name, url in zip(names, urls, strict=True)]
        backends = tuple(Backend(f"chat{at}", url) for at, url in enumerate(spelled))
        self.backends = backends
        self.board = Board(backends)
        settings = BreakerSettings(circuit_recovery_timeout=PAUSE, backends_shared=shared)
        self.breaker = Breaker(self.board, settings, clock, self.changes.append, jitter=lambda: 0.0)
        self.heritage = Heritage(self.board, 30.0, clock.monotonic())
        self.exchange = ValkeyCircuits(
            StoreSettings(limiter_path=default_path(), redis_url=SecretStr(server.url), redis_timeout_ms=1000)
        )
        self.in_common = InCommon(self.exchange, self.heritage, self.breaker, settings, clock)
        group = BackendGroup("chat", ModelKind.CHAT, model="qwen", aliases=(), backends=backends, names=("qwen",))
        self.in_common.follow(Roster((group,)))

    def fail(self, index: int = 0) -> None:
        """So often that the circuit opens."""
        for _ in range(5):
            self.breaker.failed(index)

    def probe(self, found: BackendHealth = WELL, index: int = 0) -> None:
        """A probe that begins and ends now."""
        self.clock.now += 0.001
        self.in_common.probed(Probed(self.backends[index], WELL, found, 0, self.clock.now))

    async def round(self) -> None:
        await self.in_common.round()

    async def open(self, index: int = 0) -> None:
        """Open a circuit, and tell of it when a probe was answered."""
        self.fail(index)
        await self.round()
        self.probe(index=index)
        await self.round()

    def standing(self, index: int = 0) -> Standing:
        return self.breaker.standing(index)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def clock(server: Server, monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    tell_time_by(clock, server, monkeypatch)
    return clock


@pytest.fixture
async def hosts(server: Server, clock: HandClock) -> AsyncIterator[tuple[Host, Host]]:
    """Two hosts that have the same backends in another order, so under other names, and spell their URLs otherwise."""
    pair = Host(server, clock), Host(server, clock, names="BA")
    with ExitStack() as stack:
        for host in pair:
            stack.callback(host.exchange.close)
            await host.round()
        yield pair


async def test_what_opens_on_one_host_opens_on_the_other_by_the_backends_url(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    await one.open(0)
    await other.round()
    assert (other.standing(0), other.standing(1)) == (Standing.CLOSED, Standing.OPEN)
    assert other.breaker.retry_at(1) == pytest.approx(one.breaker.retry_at(0), abs=0.01)
    assert other.breaker.why(1) is Why.FAILURES
    assert [(change.after, change.elsewhere) for change in other.changes] == [(Standing.OPEN, True)]


async def test_an_opening_waits_for_a_probe_that_is_answered(hosts: tuple[Host, Host], clock: HandClock) -> None:
    one, other = hosts
    one.probe()
    one.fail()
    await one.round()
    assert one.board.suspected_until(0) == clock.now  # the prober looks at once
    await one.round()  # a probe from before says nothing
    await other.round()
    assert other.standing(1) is Standing.CLOSED
    one.probe()
    await one.round()
    await other.round()
    assert other.standing(1) is Standing.OPEN


async def test_a_host_that_cannot_reach_a_backend_takes_it_from_nobody_else(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.fail()
    await one.round()
    one.probe(CUT_OFF)
    await one.round()
    await other.round()
    assert (one.standing(0), other.standing(1)) == (Standing.OPEN, Standing.CLOSED)
    one.clock.now += PAUSE
    await one.round()
    assert one.breaker.take_trial(0)  # nobody else has anything to say about it


async def test_one_that_says_that_it_drains_is_believed_at_once(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.breaker.trip(0)
    await one.round()
    await other.round()
    assert other.breaker.drains(1)


async def half_open(one: Host, other: Host) -> None:
    """A circuit that both have in common, whose trial is due and wanted on both hosts."""
    await one.open()
    await other.round()
    one.clock.now += PAUSE
    for host, index in ((one, 0), (other, 1)):
        await host.round()
        assert host.standing(index) is Standing.HALF_OPEN
        assert not host.breaker.take_trial(index)


async def trial_fails_elsewhere(one: Host, other: Host) -> None:
    """The other host makes the trial, which fails; it has told the server so."""
    await half_open(one, other)
    await other.round()
    other.breaker.failed(1, trial=other.breaker.take_trial(1))
    await other.round()


async def test_one_trial_is_made_over_all_hosts(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    await half_open(one, other)
    await other.round()
    await one.round()
    assert not one.breaker.take_trial(0)
    trial = other.breaker.take_trial(1)
    assert trial
    assert not other.breaker.take_trial(1)
    other.breaker.succeeded(1, trial=trial)
    await other.round()
    await one.round()
    assert (one.standing(0), other.standing(1)) == (Standing.CLOSED, Standing.CLOSED)
    assert one.changes[-1].elsewhere


async def test_the_doubled_pause_is_everybodys(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    await trial_fails_elsewhere(one, other)
    other.probe(index=1)
    await other.round()
    await one.round()
    assert one.breaker.why(0) is Why.TRIAL_FAILED
    assert one.breaker.retry_at(0) == pytest.approx(one.clock.now + 2 * PAUSE, abs=0.01)
    one.clock.now += 2 * PAUSE
    await one.round()
    one.breaker.take_trial(0)
    await one.round()
    one.breaker.failed(0, trial=one.breaker.take_trial(0))
    assert one.breaker.pause(0) == 4 * PAUSE


async def test_a_trial_that_failed_on_its_way_leaves_the_next_one_to_another_host(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    await trial_fails_elsewhere(one, other)
    other.probe(CUT_OFF, index=1)
    await other.round()
    await one.round()
    assert one.breaker.take_trial(0)
    assert one.breaker.pause(0) == PAUSE


async def test_a_trial_that_nobody_begins_or_ends_goes_to_another_host(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    await half_open(one, other)
    await one.round()
    one.clock.now += BEGIN_SECS
    await one.round()  # no request came
    assert not one.breaker.take_trial(0)
    other.breaker.take_trial(1)
    await other.round()
    assert other.breaker.take_trial(1)
    one.clock.now += PAUSE + BEGIN_SECS + 1  # and its host is dead
    await one.round()
    one.breaker.take_trial(0)
    await one.round()
    assert one.breaker.take_trial(0)


async def test_without_the_server_each_host_makes_its_own_trials_and_agrees_afterwards(
    hosts: tuple[Host, Host], server: Server
) -> None:
    one, other = hosts
    await half_open(one, other)
    server.stop()
    try:
        await one.round()
        await other.round()
        trials = one.breaker.take_trial(0), other.breaker.take_trial(1)
        assert all(trials)
        one.breaker.succeeded(0, trial=trials[0])
        other.breaker.neutral(1, trial=trials[1])
        await one.round()
    finally:
        server.start()
        one.clock.now += BEGIN_SECS + 1  # nobody wants a trial any more
    for _ in range(2):
        await other.round()  # it had lost everything: what is open is told again
    other.probe(index=1)
    await other.round()
    await one.round()
    assert one.standing(0) is Standing.HALF_OPEN
    one.breaker.take_trial(0)
    await one.round()
    one.breaker.succeeded(0, trial=one.breaker.take_trial(0))
    await one.round()
    await other.round()
    assert (one.standing(0), other.standing(1)) == (Standing.CLOSED, Standing.CLOSED)


async def test_a_host_that_was_cut_off_from_the_server_tells_what_it_found_meanwhile(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    await half_open(one, other)
    one.clock.now += BARRED_SECS + 1  # as when its supervisor stands still
    trial = one.breaker.take_trial(0)
    assert trial
    one.breaker.succeeded(0, trial=trial)
    await one.round()
    await other.round()
    assert other.standing(1) is Standing.CLOSED


async def test_an_engine_that_hangs_hangs_for_all_until_its_witness_is_silent(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.probe(HANGS)
    await one.round()
    await other.round()
    assert other.heritage.hangs_elsewhere(other.backends[1], other.clock.now)
    other.probe(HANGS, index=1)  # it believes so, and is no second witness
    await other.round()
    await one.round()
    assert not one.heritage.hangs_elsewhere(one.backends[0], one.clock.now)
    one.probe(WELL)
    await one.round()
    await other.round()
    assert not other.heritage.hangs_elsewhere(other.backends[1], other.clock.now)
    one.probe(HANGS)
    await one.round()
    await other.round()
    other.clock.now += DOUBT_SECS + 1
    assert not other.heritage.hangs_elsewhere(other.backends[1], other.clock.now)


async def test_what_one_prober_cannot_reach_the_other_one_looks_at_and_does_not_believe(
    hosts: tuple[Host, Host], clock: HandClock
) -> None:
    one, other = hosts
    one.probe(CUT_OFF)
    await one.round()
    await other.round()
    assert other.board.suspected_until(1) == clock.now
    assert not other.heritage.hangs_elsewhere(other.backends[1], clock.now)


async def test_a_quiet_host_asks_once_a_round(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    before = one.exchange.asked
    for _ in range(10):
        await one.round()
    assert one.exchange.asked == before + 10


async def test_circuits_of_servers_that_are_each_hosts_own_are_not_shared(server: Server, clock: HandClock) -> None:
    one, other = (Host(server, clock, shared=shared) for shared in (BackendsShared.ON, BackendsShared.OFF))
    await one.open()
    await other.round()
    assert other.standing(0) is Standing.CLOSED
    for host in (one, other):
        host.exchange.close()


@pytest.fixture
def directory() -> Path:
    return default_path()
