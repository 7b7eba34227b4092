"""What stands where on the board? Words of eight bytes that are written whole, then room for the verdicts."""

from typing import NamedTuple, Self

ROWS = 128
"""Workers of one generation, dead ones that are still to be cleared among them."""
BACKENDS = 64

LAYOUT = 3
"""Which arrangement this is: another release that maps the board must know it."""
HEAD_WORDS = 8
WORD_BYTES = 8
VERDICT_BYTES = 4096
"""Of one verdict. A server's list of models is cut where it would not fit (some 80 names of 40 letters)."""
WORDS = 12
"""Of each backend, its rows of workers and its verdict aside."""
ANSWER = 1 << 24
"""What an answered request adds to its word of `in_flight`, whose lower three bytes count those that run: one store
tells of both. There is room for more answers than a worker gives in centuries."""
COPIES = 2
"""Of each verdict: one is read while the other is written."""


class HeadWord:
    """The words of the head, by position."""

    LAYOUT = 0
    CHANGES = 1
    """Two halves of four bytes, see `Half`; read as one word."""
    BEAT = 2
    """Seconds on the monotonic clock."""
    ROWS_USED = 3
    TRIALS = 4
    """How many trials were ever begun."""


class Half:
    """The halves of the word of changes, each with one kind of writer; positions in four-byte words from the start."""

    VERDICTS = 2 * HeadWord.CHANGES
    """Raised by the prober after each verdict that differs."""
    CIRCUITS = VERDICTS + 1
    """Raised by whoever holds the lock: odd while a circuit is being changed."""


class Circuits(NamedTuple):
    """The circuits' words, one of each kind for every backend; written under the lock, read without.

    `until` alone decides: whoever reads it needs no second word that would have to go with it. Each is in such an
    order written that a writer who dies between two words leaves a circuit that is valid, at worst too patient.

    Attributes:
        until: from when a trial may be made, in seconds on the monotonic clock; 0: the circuit is closed.
        pause: seconds of the last pause before jitter, from which the next is doubled; 0: there was none.
        trial: until when the running trial is waited for, same clock; 0: none runs.
        holder: the number of the trial that runs or ran last.
        failures: in a row, while the circuit is closed.
        light: how many of them were failures of requests that need no engine.
        failed: when the last of them came, same clock.
        why: why the circuit was opened, as the place of a word in a list.
    """

    until: "memoryview[float]"
    pause: "memoryview[float]"
    trial: "memoryview[float]"
    holder: "memoryview[int]"
    failures: "memoryview[int]"
    light: "memoryview[int]"
    failed: "memoryview[float]"
    why: "memoryview[int]"

    def copy(self, index: int, other: "Circuits", at: int) -> None:
        """Make the circuit of that index what another board's is at `at`."""
        self.pause[index], self.trial[index] = other.pause[at], other.trial[at]
        self.holder[index], self.failures[index] = other.holder[at], other.failures[at]
        self.light[index], self.failed[index] = other.light[at], other.failed[at]
        self.why[index], self.until[index] = other.why[at], other.until[at]


class Regions(NamedTuple):
    """The whole board.

    Attributes:
        head: `HeadWord`; `beat` and `halves` are other views of the same words.
        circuits: see there.
        suspected: until when each backend is suspected, in seconds on the monotonic clock.
        barred: until when no trial of each may begin here, as another host's may; same clock.
        wanted: when a request last met such a bar, same clock.
        versions: of each backend's verdict; 0: there is none.
        in_flight: requests at each backend, and those that were answered (`ANSWER`), a row of BACKENDS words for each
            worker.
        alive: the last sign of life of each backend that each worker saw, in rows likewise.
        verdicts: COPIES of VERDICT_BYTES for each backend.
    """

    head: "memoryview[int]"
    beat: "memoryview[float]"
    halves: "memoryview[int]"
    circuits: Circuits
    suspected: "memoryview[float]"
    barred: "memoryview[float]"
    wanted: "memoryview[float]"
    versions: "memoryview[int]"
    in_flight: "memoryview[int]"
    alive: "memoryview[float]"
    verdicts: memoryview

    @classmethod
    def of(cls, memory: memoryview) -> Self:
        """The board in `memory`, which is BOARD_BYTES long."""
        head_bytes = HEAD_WORDS * WORD_BYTES
        position = head_bytes

        def next_words(count: int) -> memoryview:
            nonlocal position
            start, position = position, position + count * WORD_BYTES
            return memory[start:position]

        each = [next_words(BACKENDS) for _ in range(WORDS)]
        in_flight, alive = next_words(ROWS * BACKENDS), next_words(ROWS * BACKENDS)
        until, pause, trial, failed, suspected, barred, wanted = (words.cast("d") for words in each[:7])
        holder, failures, light, why, versions = (words.cast("Q") for words in each[7:])
        return cls(
            head=memory[:head_bytes].cast("Q"),
            beat=memory[:head_bytes].cast("d"),
            halves=memory[:head_bytes].cast("I"),
            circuits=Circuits(until, pause, trial, holder, failures, light, failed, why),
            suspected=suspected,
            barred=barred,
            wanted=wanted,
            versions=versions,
            in_flight=in_flight.cast("q"),
            alive=alive.cast("d"),
            verdicts=memory[position:],
        )


BOARD_BYTES = (HEAD_WORDS + WORDS * BACKENDS + 2 * ROWS * BACKENDS) * WORD_BYTES + COPIES * BACKENDS * VERDICT_BYTES
