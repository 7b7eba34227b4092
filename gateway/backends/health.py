"""In what state is a backend, since when and why? The words for it, and how the next finding changes the verdict."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from gateway.backends.reasons import Reason
from gateway.backends.vllm_metrics import Figures


class State(StrEnum):
    """What may be expected of a backend."""

    LOADING = "loading"
    """Never reached since the gateway has known it, over reloads too, and still within its time to load."""
    HEALTHY = "healthy"
    BUSY = "busy"
    """It works at its limit: it keeps its share of the requests."""
    DRAINING = "draining"
    """It finishes what runs and takes nothing new."""
    DOWN = "down"


IN_ROTATION = frozenset({State.HEALTHY, State.BUSY})
"""Whoever is in one of these has its share of the requests."""
MAY_BE_LOAD = frozenset({Reason.TIMEOUT, Reason.NO_ROUTE, Reason.BAD_ANSWER})
"""What a server that has too much to do shows too; a refused connection or a 503 is clear at once."""


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """The verdict on one backend.

    Attributes:
        state: see `State`.
        reason: why, as the last probe found it.
        since: when the backend entered this state, in seconds on the monotonic clock.
        reached: whether it has answered anything since the gateway has known it.
        latency: seconds that the last probe's GET /health took, None when it was not answered.
        models: the names it serves, as last learned.
        max_model_len: the context length of its model in tokens, as last learned.
        streak: how many probes in a row were good; below zero: how many were not.
        running: requests that its engine works on, by its own word; None when it does not say.
        waiting: requests that wait inside it; None when it does not say.
    """

    state: State
    reason: Reason
    since: float
    reached: bool = False
    latency: float | None = None
    models: tuple[str, ...] = ()
    max_model_len: int | None = None
    streak: int = 0
    running: float | None = None
    waiting: float | None = None


class Finding(NamedTuple):
    """What one probe learned.

    Attributes:
        reason: OK, or what is wrong.
        latency: seconds that GET /health took; None when it was not answered.
        models: the names the backend serves; empty when they were not learned.
        max_model_len: the context length of the configured model in tokens, None when the backend does not say.
        figures: what `/metrics` says; None when it says nothing that can be used.
    """

    reason: Reason
    latency: float | None = None
    models: tuple[str, ...] = ()
    max_model_len: int | None = None
    figures: Figures | None = None


class Circumstances(NamedTuple):
    """What is known of a backend besides its answers to a probe.

    Attributes:
        loaded: requests of ours run there.
        alive: it moved a moment ago: a stream of ours had a token, or its own figures changed.
        stalled: requests of ours wait there, or it says that some run, and nothing has moved for BACKEND_STALL_SECS
            (`progress.py`).
        draining: it told one of our requests that it is shutting down.
    """

    loaded: bool = False
    alive: bool = False
    stalled: bool = False
    draining: bool = False


class Rules(NamedTuple):
    """When a verdict changes.

    Attributes:
        up_after: good probes in a row after which a backend that was down is in rotation again.
        down_after: bad probes in a row after which it is out of it.
        down_after_under_load: the same while requests of ours run there, for what load may cause.
        loading_until: until when (monotonic clock) a backend that was never reached is called loading.
    """

    up_after: int
    down_after: int
    down_after_under_load: int
    loading_until: float


def judge(before: BackendHealth, finding: Finding, around: Circumstances, rules: Rules, now: float) -> BackendHealth:
    """The verdict after one more finding.

    Args:
        before: the verdict so far.
        finding: what the probe learned.
        around: what else is known.
        rules: the operator's numbers.
        now: seconds on the monotonic clock.
    """
    state, reason, streak = _next(before, finding, around, rules, now)
    figures = finding.figures
    return replace(
        before,
        state=state,
        reason=reason,
        streak=streak,
        since=before.since if state is before.state else now,
        reached=before.reached or finding.latency is not None,
        latency=finding.latency,
        models=finding.models or before.models,
        max_model_len=finding.max_model_len or before.max_model_len,
        running=None if figures is None else figures.running,
        waiting=None if figures is None else figures.waiting,
    )


def _next(
    before: BackendHealth, finding: Finding, around: Circumstances, rules: Rules, now: float
) -> tuple[State, Reason, int]:
    """State, reason and streak."""
    reason = Reason.STALLED if finding.reason is Reason.OK and around.stalled else finding.reason
    if reason is Reason.OK:
        streak = max(before.streak, 0) + 1
        return *_after_good(before, finding, around, streak >= rules.up_after), streak
    in_rotation = before.state in IN_ROTATION
    if reason is Reason.TIMEOUT and around.alive:  # it has too much to do to answer us, and does it
        return (State.BUSY if in_rotation else before.state), reason, min(before.streak, 0)
    streak = min(before.streak, 0) - 1
    patience = rules.down_after_under_load if around.loaded and reason in MAY_BE_LOAD else rules.down_after
    if in_rotation and -streak < patience and reason is not Reason.STALLED:
        return State.BUSY, reason, streak
    never_reached = not before.reached and finding.latency is None
    if reason is Reason.UNREACHABLE and never_reached and now < rules.loading_until:
        return State.LOADING, reason, streak
    return State.DOWN, reason, streak


def _after_good(
    before: BackendHealth,
    finding: Finding,
    around: Circumstances,
    enough: bool,  # noqa: FBT001 -- for `_next` alone
) -> tuple[State, Reason]:
    """State and reason; `enough`: as many good probes in a row as take a backend back."""
    if around.draining:
        return State.DRAINING, Reason.DRAINING
    if before.state is State.DOWN and not enough:
        return State.DOWN, Reason.RECOVERING
    if finding.figures is not None and finding.figures.waiting > 0:
        return State.BUSY, Reason.QUEUEING
    return State.HEALTHY, Reason.OK


class Readiness(NamedTuple):
    """Whether requests can be answered, and one word why not."""

    ready: bool
    reason: str
