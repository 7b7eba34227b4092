"""How does a test get workers with a breaker each? In one process, on one board, with a clock moved by hand."""

from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.circuit import Change
from tests.backends.sharing import FLEET
from tests.core.hand_time import HandTime

PAUSE, LONGEST, THRESHOLD = 30.0, 300.0, 5

SETTINGS = BreakerSettings()


class Fleet:
    """Workers with a breaker each, in one process on one board."""

    def __init__(self) -> None:
        self.clock = HandTime()
        self.changes: list[Change] = []
        self.board = Board(FLEET)
        self.jitter = 0.0
        self.workers = [self.new_worker() for _ in range(3)]

    def new_worker(self) -> Breaker:
        return Breaker(self.board, SETTINGS, self.clock, self.changes.append, lambda: self.jitter)

    def fail(self, times: int = THRESHOLD) -> None:
        for number in range(times):
            self.workers[number % 3].failed(0)

    def fail_trial(self) -> None:
        self.workers[0].failed(0, trial=self.take_trial())

    def take_trial(self, worker: int = 0) -> int:
        """Its number, which must be granted."""
        number = self.workers[worker].take_trial(0)
        assert number
        return number

    def paused(self) -> float:
        """For how long the circuit is open from now on."""
        return self.workers[0].retry_at(0) - self.clock.now
