"""Who finds out how the backends are? One prober on each host, which asks them and publishes what it finds."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from gateway.backends.breaker import Breaker
from gateway.backends.circuit import Standing, Why
from gateway.backends.health import IN_ROTATION, BackendHealth, Circumstances, Finding, Rules, State, judge
from gateway.backends.heritage import Heritage
from gateway.backends.probe import new_client, probe, speaks_tls
from gateway.backends.probed import OnProbe, Probed
from gateway.backends.progress import Progress
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster, build_roster
from gateway.core.clock import Clock
from gateway.core.fleet import Backend, BackendGroup

if TYPE_CHECKING:
    from gateway.backends.settings import BackendSettings

logger = logging.getLogger(__name__)

TICK_SECS = 0.25
"""How often the board is looked at: a backend that a request has just found dead is probed within this time."""
SOON_SECS = 1.0
"""Between probes while anything is the matter: a connection refused costs nothing, and a start should not take 10 s
longer."""
ROUNDS_SECS = 2.0
"""Workers tell of their streams' tokens once a second; a sign of life this much older than a probe is as good as one
in it."""


@dataclass(eq=False, slots=True)
class Watched:
    """What is remembered of one backend from probe to probe."""

    group: BackendGroup
    backend: Backend
    index: int
    health: BackendHealth
    progress: Progress
    rules: Rules
    due: float = 0.0
    """At once."""
    probed: bool = False
    suspicion: float = 0.0
    drains: bool = False
    task: asyncio.Task[None] | None = None


class Prober:
    """Probes every backend for as long as it runs, and publishes each verdict on the board.

    Args:
        settings: the fleet, until `follow` has another; how often, how long, how patient.
        heritage: has the board, where verdicts are published, and what workers know; what is known already, this
            prober begins with.
        breaker: is told of a backend that died and came back; knows which one drains.
        clock: all times.
        ca_file: whom https backends must be certified by; None: the system's authorities.
        on_probe: told of every probe.
    """

    def __init__(
        self,
        settings: "BackendSettings",
        heritage: Heritage,
        breaker: Breaker,
        clock: Clock,
        *,
        ca_file: Path | None = None,
        on_probe: OnProbe = lambda _: None,
    ) -> None:
        self._settings = settings
        self._heritage = heritage
        self._board = heritage.board
        self._breaker = breaker
        self._clock = clock
        self._on_probe = on_probe
        self._ca_file = ca_file
        roster = build_roster(settings)
        self._client = new_client(settings, ca_file, roster)
        self._tls = speaks_tls(roster)
        self._left: list[httpx.AsyncClient] = []
        self._watched = [self._begin(group, backend) for group, backend in roster.backends()]

    async def run(self) -> None:
        """Probe until cancelled; no task and no connection is left then."""
        try:
            for watched in self._watched:
                self._board.publish(watched.backend.name, watched.health)
            while True:
                self._look(self._clock.monotonic())
                await self._clock.sleep(TICK_SECS)
        finally:
            probes = [watched.task for watched in self._watched if watched.task is not None]
            for task in probes:
                task.cancel()
            await asyncio.gather(*probes, return_exceptions=True)
            for client in (self._client, *self._left):
                await client.aclose()

    def follow(self, roster: Roster) -> None:
        """Probe these backends from now on: who is new at once, who stays as before, who has left no more."""
        if speaks_tls(roster) and not self._tls:  # whose certificates are believed is read only where it matters
            self._left.append(self._client)
            self._client, self._tls = new_client(self._settings, self._ca_file, roster), True
        known = {(watched.backend.name, watched.backend.url): watched for watched in self._watched}
        self._watched = []
        for group, backend in roster.backends():
            watched = known.pop((backend.name, backend.url), None)
            if watched is None:
                watched = self._welcome(group, backend)
            watched.group, watched.backend = group, backend
            self._watched.append(watched)
        for watched in known.values():
            self._part(watched)

    def _welcome(self, group: BackendGroup, backend: Backend) -> Watched:
        """Watch one that was not here a moment ago; what another one has left in its column is not its own."""
        now = self._clock.monotonic()
        if self._heritage.begin(backend, now):
            index = self._board.index(backend.name)
            self._breaker.clear(index)
            self._board.publish_at(index, BackendHealth(State.LOADING, Reason.NOT_PROBED, since=now))
        return self._begin(group, backend)

    def _part(self, watched: Watched) -> None:
        """Watch it no more; who has its column next begins with a verdict that says nothing."""
        if watched.task is not None:
            watched.task.cancel()
        self._heritage.forget(watched.backend)
        fresh = BackendHealth(State.LOADING, Reason.NOT_PROBED, since=self._clock.monotonic())
        self._board.publish_at(watched.index, fresh)

    @property
    def has_looked(self) -> bool:
        """Whether every backend was probed once."""
        return all(watched.probed for watched in self._watched)

    def _begin(self, group: BackendGroup, backend: Backend) -> Watched:
        since, progress = self._heritage.past(backend)
        settings = self._settings
        rules = Rules(
            settings.backend_up_after,
            settings.backend_down_after,
            settings.backend_down_after_under_load,
            since + settings.backend_loading_secs,
        )
        known = self._board.verdict(backend.name) or BackendHealth(State.LOADING, Reason.NOT_PROBED, since=since)
        return Watched(group, backend, self._board.index(backend.name), known, progress, rules)

    def _look(self, now: float) -> None:
        """Say that we live, and start what probes are due."""
        self._board.beat(now)
        for watched in self._watched:
            if self._is_due(watched, now):
                watched.task = asyncio.create_task(self._probe(watched), name=f"probe of {watched.backend.name}")

    def _is_due(self, watched: Watched, now: float) -> bool:
        """Whether to probe it now: its time has come, or a worker has news of it that it did not have last time."""
        if watched.task is not None and not watched.task.done():
            return False
        suspicion, drains = self._board.suspected_until(watched.index), self._drains(watched.index)
        news = suspicion != watched.suspicion or drains != watched.drains
        watched.suspicion, watched.drains = suspicion, drains
        return news or now >= watched.due

    def _drains(self, index: int) -> bool:
        """Whether it told a request that it shuts down, and is not to be tried again yet."""
        return self._breaker.why(index) is Why.DRAINING and self._breaker.standing(index) is Standing.OPEN

    async def _probe(self, watched: Watched) -> None:
        """Probe one backend, judge, publish; a fault of ours costs this probe and no more."""
        try:
            began = self._clock.monotonic()
            limit = self._settings.backend_probe_timeout_secs
            finding = await probe(self._client, watched.backend, watched.group.model, limit, self._clock)
            self._conclude(watched, finding, began)
        except Exception:
            logger.exception("probe_failed", extra={"backend": watched.backend.name})
            watched.due = self._clock.monotonic() + SOON_SECS

    def _conclude(self, watched: Watched, finding: Finding, began: float) -> None:
        now = self._clock.monotonic()
        ours, answers, alive_at = self._heritage.seen(watched.backend)
        moved = watched.progress.observe(finding.figures, ours=ours, answers=answers, alive_at=alive_at, now=now)
        around = Circumstances(
            loaded=ours > 0,
            alive=moved or alive_at >= began - ROUNDS_SECS,
            stalled=watched.progress.stalled(now)
            or (not moved and self._heritage.hangs_elsewhere(watched.backend, now)),
            draining=watched.drains,
        )
        before = watched.health
        after = watched.health = judge(before, finding, around, watched.rules, now)
        watched.probed = True
        watched.due = now + self._interval(watched, now)
        self._board.publish_at(watched.index, after)
        if before.state is State.DOWN and after.state in IN_ROTATION:
            self._breaker.reset(watched.index)  # one request goes first
        self._on_probe(Probed(watched.backend, before, after, ours, began))

    def _interval(self, watched: Watched, now: float) -> float:
        """Seconds to the next probe."""
        health, usual = watched.health, self._settings.backend_probe_interval_secs
        well = health.state in IN_ROTATION and health.streak > 0 and not watched.progress.doubtful(now)
        return usual if well else min(usual, SOON_SECS)
