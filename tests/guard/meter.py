"""What does a piece of work execute? Steps, calls and memory of the gateway, counted, so that no clock is asked.

A step is one bytecode instruction as the interpreter traces them, an entry the beginning of a Python function or the
resumption of a coroutine, a call one of a function in C, whatever that does inside. What libraries do in Python on the
gateway's behalf is booked on the gateway's function that called them.
"""

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Self

import gateway

ROOT = Path(gateway.__file__).parent
BELOW = f"{ROOT}/"
SHARED_BYTES = 16_384
"""A block as large as this is a buffer that all requests share."""


@dataclass(slots=True)
class Count:
    """What was executed, by the gateway's function that it is booked on."""

    steps: Counter[CodeType] = field(default_factory=Counter)
    entries: Counter[CodeType] = field(default_factory=Counter)
    calls: Counter[CodeType] = field(default_factory=Counter)

    def totals(self) -> tuple[int, int, int]:
        """Steps, entries and calls of all functions together."""
        return self.steps.total(), self.entries.total(), self.calls.total()

    def dearest(self, most: int = 12) -> str:
        """The functions with the most steps, a line each."""
        lines = [f"{'steps':>7}{'entries':>9}{'calls':>7}"]
        lines += [
            f"{steps:7}{self.entries[code]:9}{self.calls[code]:7}  {named(code)}"
            for code, steps in self.steps.most_common(most)
        ]
        return "\n".join(lines)


class _Books:
    """Books what happens under the gateway's functions; everything else goes unseen."""

    def __init__(self) -> None:
        self.count = Count()
        self._by_event = {"call": self.count.entries, "c_call": self.count.calls}
        self._ours: dict[CodeType, bool] = {}

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """For `sys.settrace`."""
        owner = self._owner(frame)
        if event != "call" or owner is None:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        steps = self.count.steps

        def step(_: FrameType, event: str, __: Any) -> Any:
            if event == "opcode":
                steps[owner] += 1
            return step

        return step

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """For `sys.setprofile`."""
        books = self._by_event.get(event)
        if books is not None:
            owner = self._owner(frame)
            if owner is not None:
                books[owner] += 1

    def _owner(self, frame: FrameType) -> CodeType | None:
        at: FrameType | None = frame
        while at is not None:
            code = at.f_code
            ours = self._ours.get(code)
            if ours is None:
                ours = self._ours[code] = code.co_filename.startswith(BELOW)
            if ours:
                return code
            at = at.f_back
        return None


@contextmanager
def counting() -> Iterator[Count]:
    """Count what this thread executes until the scope ends; whoever traced before goes on afterwards."""
    books = _Books()
    tracer, profiler = sys.gettrace(), sys.getprofile()
    collecting = gc.isenabled()
    gc.disable()  # a finaliser would run at a moment of its own
    sys.settrace(books.trace)
    sys.setprofile(books.profile)
    try:
        yield books.count
    finally:
        sys.setprofile(profiler)
        sys.settrace(tracer)
        if collecting:
            gc.enable()


@dataclass(frozen=True, slots=True)
class Held:
    """What the gateway's own code has allocated and not freed: blocks, and their bytes, by file and line."""

    blocks: Counter[tuple[str, int]]
    size: Counter[tuple[str, int]]

    def __sub__(self, other: Self) -> "Held":
        blocks, size = Counter(self.blocks), Counter(self.size)
        blocks.subtract(other.blocks)  # the operator would drop what is held no longer
        size.subtract(other.size)
        return Held(blocks, size)

    def dearest(self, most: int = 12) -> str:
        """The lines that hold the most bytes, a line each."""
        lines = [f"{'bytes':>7}{'blocks':>8}"]
        lines += [
            f"{size:7}{self.blocks[where]:8}  {where[0].removeprefix(BELOW)}:{where[1]}"
            for where, size in self.size.most_common(most)
        ]
        return "\n".join(lines)


def held() -> Held:
    """What is held now, of what was allocated since tracemalloc runs."""
    gc.collect()
    taken = tracemalloc.take_snapshot().filter_traces(
        [tracemalloc.Filter(inclusive=True, filename_pattern=f"{BELOW}*")]
    )
    blocks, size = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for trace in taken.traces:
        if trace.size < SHARED_BYTES:
            where = trace.traceback[0].filename, trace.traceback[0].lineno
            blocks[where] += 1
            size[where] += trace.size
    return Held(blocks, size)


def named(code: CodeType) -> str:
    """A function as a reader finds it: file below gateway/, and name."""
    return f"{code.co_filename.removeprefix(BELOW)}:{code.co_qualname}"
