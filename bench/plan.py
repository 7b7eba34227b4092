"""What is measured? The windows of one repetition, by topic, so that one of them can be measured alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.bodies import batch, conversation
from bench.windows import Load

LEAVING = "departures"
"""The topic that is no load: single clients that leave in mid-answer."""
INPUTS = 256
"""Of an embeddings request."""
EMBEDDINGS = "/v1/embeddings"
SMALL_BODY, LARGE_BODY = 500, 500_000
"""Bytes of a chat request."""


@dataclass(frozen=True)
class Plan:
    """The windows of one repetition.

    Args:
        warm_up: before all others, after every start; not reported.
        timed: their rates, times and CPU are reported.
        counted: those of which the instructions are counted, in windows of their own.
        crowds: of many connections, each in front of a peer that was started for it: what it adds to the memory.
        scaled: by the number of workers, on as many cores as there are, each in front of a peer started so.
        departures: whether clients leave in mid-answer.
    """

    warm_up: Load
    timed: Sequence[Load] = ()
    counted: Sequence[Load] = ()
    crowds: Sequence[Load] = ()
    scaled: Mapping[int, Load] = field(default_factory=dict)
    departures: bool = True

    def only(self, topics: Collection[str]) -> "Plan":
        """What belongs to these topics."""
        return replace(
            self,
            timed=[load for load in self.timed if load.topic in topics],
            counted=[load for load in self.counted if load.topic in topics],
            crowds=[load for load in self.crowds if load.topic in topics],
            scaled={workers: load for workers, load in self.scaled.items() if load.topic in topics},
            departures=self.departures and LEAVING in topics,
        )

    def times(self, factor: float) -> "Plan":
        """The same with windows longer or shorter by a factor; what comes before a window stays as it is."""

        def lasting(load: Load) -> Load:
            return replace(load, seconds=load.seconds * factor)

        return replace(
            self,
            timed=[*map(lasting, self.timed)],
            counted=[*map(lasting, self.counted)],
            crowds=[*map(lasting, self.crowds)],
            scaled={workers: lasting(load) for workers, load in self.scaled.items()},
        )

    def topics(self) -> list[str]:
        """What can be measured alone."""
        loads = (*self.timed, *self.crowds, *self.scaled.values())
        return [*dict.fromkeys(load.topic for load in loads), *([LEAVING] if self.departures else [])]


FULL = Plan(
    warm_up=Load("warm-up", "", 16, 1.0, warm_up=0),
    timed=(
        Load("JSON c=1", "json", 1, 2.0),
        Load("JSON c=32", "json", 32, 3.0),
        Load("JSON c=256", "json", 256, 3.0),
        Load("SSE burst c=32", "burst", 32, 4.0, stream=True),
        Load("SSE paced c=200", "paced", 200, 6.0, warm_up=1.5, stream=True, delay_ms=20, ramp_ms=1280),
        Load("chat body 500 B", "bodies", 8, 2.0, body=conversation(SMALL_BODY)),
        Load("chat body 500 KB", "bodies", 8, 2.0, body=conversation(LARGE_BODY)),
        Load("embeddings x256", "embeddings", 8, 2.0, path=EMBEDDINGS, body=batch(INPUTS), alike=False),
        Load("embeddings x256, again", "embeddings", 8, 2.0, 0, path=EMBEDDINGS, body=batch(INPUTS), alike=True),
    ),
    counted=(
        Load("JSON c=32", "json", 32, 1.0),
        Load("SSE burst c=32", "burst", 32, 1.0, stream=True),
        Load("SSE paced c=200", "paced", 200, 1.5, warm_up=1.5, stream=True, delay_ms=20, ramp_ms=1280),
    ),
    crowds=(Load("SSE paced c=1000", "crowd", 1000, 7.0, warm_up=7, stream=True, delay_ms=100, ramp_ms=6300),),
    scaled={workers: Load(f"JSON c=128, workers={workers}", "workers", 128, 3.0, warm_up=1.0) for workers in (1, 2, 4)},
)
QUICK = Plan(
    warm_up=Load("warm-up", "", 4, 0.1, warm_up=0),
    timed=(
        Load("JSON c=1", "json", 1, 0.2, warm_up=0),
        Load("JSON c=8", "json", 8, 0.2, warm_up=0.1),
        Load("SSE burst c=8", "burst", 8, 0.2, warm_up=0.1, stream=True),
        Load("SSE paced c=10", "paced", 10, 0.8, warm_up=0, stream=True, delay_ms=5),
        Load("chat body 500 KB", "bodies", 2, 0.2, warm_up=0.1, body=conversation(LARGE_BODY)),
        Load("embeddings x256", "embeddings", 2, 0.2, warm_up=0.1, path=EMBEDDINGS, body=batch(INPUTS), alike=False),
        Load("embeddings x256, again", "embeddings", 2, 0.2, 0, path=EMBEDDINGS, body=batch(INPUTS), alike=True),
    ),
    counted=(Load("JSON c=8", "json", 8, 0.2, warm_up=0.1),),
    crowds=(Load("SSE paced c=50", "crowd", 50, 0.8, warm_up=0, stream=True, delay_ms=5),),
    scaled={2: Load("JSON c=16, workers=2", "workers", 16, 0.2, warm_up=0.1)},
)
"""Shows in seconds that all of it works; its figures mean little."""
