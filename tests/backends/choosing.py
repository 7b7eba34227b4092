"""How does a test ask whom a request may try? One worker, a prober that lives, and verdicts to be said."""

from dataclasses import replace

from gateway.backends.availability import Availability, Choice
from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.health import BackendHealth, State
from gateway.backends.reasons import Reason
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from tests.backends.sharing import HEALTHY
from tests.core.hand_time import HandTime

INTERVAL = 20.0

PAUSE = 30.0

A, B, C = (Backend(f"chat{number}", f"http://chat{number}:8000") for number in range(3))

CHAT = BackendGroup("chat", ModelKind.CHAT, "qwen", (), (A, B, C))

EMBED = BackendGroup("embed", ModelKind.EMBEDDING, "embed", (), (Backend("embed", "http://embed:8000"),))

BUSY = replace(HEALTHY, state=State.BUSY, reason=Reason.QUEUEING)

BEGAN = HandTime().now

DOWN = replace(HEALTHY, since=BEGAN, state=State.DOWN, reason=Reason.UNREACHABLE)

RECOVERING = replace(DOWN, reason=Reason.RECOVERING)

LOADING = replace(DOWN, state=State.LOADING)

NOT_PROBED = replace(DOWN, state=State.LOADING, reason=Reason.NOT_PROBED)

DRAINING = replace(DOWN, state=State.DRAINING, reason=Reason.DRAINING)

STALLED = replace(DOWN, reason=Reason.STALLED)


class CountingTime(HandTime):
    """Time that knows how often it was asked for."""

    asked = 0

    def monotonic(self) -> float:
        self.asked += 1
        return super().monotonic()


class Fleet:
    """A prober that lives, and one worker."""

    def __init__(self) -> None:
        self.clock = CountingTime()
        self.board = Board((*CHAT.backends, *EMBED.backends))
        self.breaker = Breaker(self.board, BreakerSettings(), self.clock, jitter=lambda: 0.0)
        self.availability = Availability(self.board, self.breaker, self.clock, INTERVAL)
        self.board.beat(self.clock.now)

    def say(self, *verdicts: BackendHealth, group: BackendGroup = CHAT) -> None:
        for backend, health in zip(group.backends, verdicts, strict=True):
            self.board.publish(backend.name, health)

    def open(self, *backends: Backend) -> None:
        for backend in backends:
            for _ in range(5):
                self.breaker.failed(self.board.index(backend.name))

    def advance(self, seconds: float) -> None:
        """The prober goes on beating meanwhile."""
        self.clock.advance(seconds)
        self.board.beat(self.clock.now)

    def chosen(self, group: BackendGroup = CHAT) -> Choice:
        return self.availability.of(group)

    def take_trial(self, backend: Backend) -> int:
        return self.breaker.take_trial(self.board.index(backend.name))


def all_well() -> Fleet:
    """Everybody is healthy, and the prober has said so."""
    fleet = Fleet()
    fleet.say(HEALTHY, HEALTHY, HEALTHY)
    fleet.say(HEALTHY, group=EMBED)
    return fleet
