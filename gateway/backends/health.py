"""In what state is each backend, since when and why? Probes in the background, and the verdicts they add up to."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple, Self

from gateway.backends.probe import Finding, Reason, new_client, probe
from gateway.backends.roster import Roster
from gateway.backends.settings import BackendSettings
from gateway.core.clock import Clock
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup

LOADING_INTERVAL_SECS = 1.0
"""Between probes while a backend loads: a connection refused costs nothing, and a start should not take 10 s longer."""


class State(StrEnum):
    """What may be expected of a backend."""

    LOADING = "loading"
    """Never reached since the gateway's start, and still within its time to load."""
    HEALTHY = "healthy"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """The verdict on one backend.

    Attributes:
        state: see `State`.
        reason: why, as the last probe found it.
        since: when the backend entered this state, in seconds on the monotonic clock.
        reached: whether it has answered anything since the gateway's start.
        latency: seconds that the last probe's GET /health took, None when it was not answered.
        models: the names it serves, as last learned.
        max_model_len: the context length of its model in tokens, as last learned.
    """

    state: State
    reason: Reason
    since: float
    reached: bool = False
    latency: float | None = None
    models: tuple[str, ...] = ()
    max_model_len: int | None = None


class Readiness(NamedTuple):
    """Whether requests can be answered, and one word why not."""

    ready: bool
    reason: str


class BackendStatus(NamedTuple):
    """One line of the fleet's state."""

    group: BackendGroup
    backend: Backend
    health: BackendHealth


OnChange = Callable[[str, BackendHealth], None]
"""Told a backend's name and its new health whenever state or reason changed."""


def judge(before: BackendHealth, finding: Finding, now: float, loading_until: float) -> BackendHealth:
    """The verdict after one more finding.

    Args:
        before: the verdict so far.
        finding: what the probe learned.
        now: seconds on the monotonic clock.
        loading_until: until when (same clock) an unreached backend is called loading.
    """
    reached = before.reached or finding.latency is not None
    if finding.reason is Reason.OK:
        state = State.HEALTHY
    elif finding.reason is Reason.UNREACHABLE and not reached and now < loading_until:
        state = State.LOADING
    else:
        state = State.DOWN
    return replace(
        before,
        state=state,
        reason=finding.reason,
        since=before.since if state is before.state else now,
        reached=reached,
        latency=finding.latency,
        models=finding.models or before.models,
        max_model_len=finding.max_model_len or before.max_model_len,
    )


class Prober:
    """Knows every backend's health; probes while it is entered (`async with prober:`).

    Each worker has its own, so that none waits for another's word; a probe costs a backend two small answers.
    """

    def __init__(
        self, roster: Roster, settings: BackendSettings, clock: Clock, on_change: OnChange | None = None
    ) -> None:
        self._roster = roster
        self._settings = settings
        self._clock = clock
        self._on_change = on_change
        self._client = new_client(settings)
        self._task: asyncio.Task[None] | None = None
        now = clock.monotonic()
        self._loading_until = now + settings.backend_loading_secs
        unknown = BackendHealth(State.LOADING, Reason.NOT_PROBED, since=now)
        self._health = {backend.name: unknown for _, backend in roster.backends()}
        self._lengths: dict[str, int] = {}  # each group's, as every request asks for it

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="backend prober")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._client.aclose()
        if self._task is not None and not self._task.cancelled():
            self._task.result()

    def health(self, backend: str) -> BackendHealth:
        """The verdict on the backend of that name.

        Raises:
            KeyError: no such backend in the roster.
        """
        return self._health[backend]

    def statuses(self) -> tuple[BackendStatus, ...]:
        """The verdicts on all backends, in the roster's order."""
        pairs = self._roster.backends()
        return tuple(BackendStatus(group, backend, self._health[backend.name]) for group, backend in pairs)

    def ready(self) -> Readiness:
        """Ready when one chat backend is healthy; otherwise `loading` while one of them may still come up."""
        chat = [status.health for status in self.statuses() if status.group.kind is ModelKind.CHAT]
        states = {health.state for health in chat}
        if State.HEALTHY in states:
            return Readiness(ready=True, reason=Reason.OK)
        if State.LOADING in states or not chat:
            return Readiness(ready=False, reason=State.LOADING)
        return Readiness(ready=False, reason=chat[0].reason)

    def max_model_len(self, group: BackendGroup) -> int | None:
        """The context length of a group's model in tokens: the least any replica states, None when none has yet."""
        return self._lengths.get(group.name)

    async def probe_all(self) -> None:
        """Probe every backend once, all at the same time; each verdict counts as soon as it is there."""
        async with asyncio.TaskGroup() as probes:
            for group, backend in self._roster.backends():
                probes.create_task(self._probe(group, backend))

    async def _probe(self, group: BackendGroup, backend: Backend) -> None:
        limit = self._settings.backend_probe_timeout_secs
        finding = await probe(self._client, backend, group.model, limit, self._clock)
        before = self._health[backend.name]
        after = judge(before, finding, self._clock.monotonic(), self._loading_until)
        self._health[backend.name] = after
        self._learn_length(group)
        if self._on_change is not None and (after.state, after.reason) != (before.state, before.reason):
            self._on_change(backend.name, after)

    def _learn_length(self, group: BackendGroup) -> None:
        known = (self._health[backend.name].max_model_len for backend in group.backends)
        stated = [length for length in known if length is not None]
        if stated:
            self._lengths[group.name] = min(stated)

    async def _run(self) -> None:
        while True:
            await self.probe_all()
            await self._clock.sleep(self._interval())

    def _interval(self) -> float:
        interval = self._settings.backend_probe_interval_secs
        if any(health.state is State.LOADING for health in self._health.values()):
            return min(interval, LOADING_INTERVAL_SECS)
        return interval
