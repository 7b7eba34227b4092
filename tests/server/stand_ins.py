"""What stands in for an estate and its workers in tests that need one that hangs, or dies at a moment they choose."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

from gateway.observability.metrics import Metrics
from gateway.server.estate import Estate
from gateway.server.life import Ending


class WorkerStandIn:
    """A worker without a process.

    Attributes:
        comes_up: what it says; the test may leave it open.
        told: what it was told, in order.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.pid = 0
        self.code: int | None = None
        self.failure: str | None = None
        self.ending = Ending.EXITED
        self.comes_up: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.told: list[str] = []
        self._gone = asyncio.Event()

    async def serves(self) -> bool:
        gone = asyncio.ensure_future(self._gone.wait())
        await asyncio.wait((self.comes_up, gone), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        return self.comes_up.done() and self.comes_up.result()

    async def ended(self) -> None:
        await self._gone.wait()

    def end(self, code: int) -> None:
        self.code = code
        self._gone.set()

    def retire(self) -> None:
        self.told.append("retire")

    def terminate(self) -> None:
        self.told.append("terminate")

    def kill(self) -> None:
        self.told.append("kill")
        self.end(-9)

    def as_fields(self) -> dict[str, int]:
        return {"worker": self.index}

    def how_it_ended(self) -> str:
        return f"ended with status {self.code}"


class EstateStandIn:
    """Gives workers that are not there; `born` has them all, and each is shown to `at_birth`."""

    def __init__(self, at_birth: Callable[[WorkerStandIn], object] = lambda _: None) -> None:
        self.born: list[WorkerStandIn] = []
        self.stopping = asyncio.Event()
        self.figures = Metrics()
        self.exporter = SimpleNamespace(page=lambda: contextlib.nullcontext(0))
        self._at_birth = at_birth

    def as_estate(self) -> Estate:
        return cast("Estate", self)

    @contextlib.contextmanager
    def worker(self, index: int, *_: Any) -> Iterator[WorkerStandIn]:
        worker = WorkerStandIn(index)
        self.born.append(worker)
        self._at_birth(worker)
        yield worker


def serves(worker: WorkerStandIn) -> None:
    """At birth: it comes up."""
    worker.comes_up.set_result(True)


async def until(condition: Callable[[], object]) -> None:
    """Wait until it holds, or fail."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- a stand-in tells nobody
            await asyncio.sleep(0)  # noqa: TID251 -- no time passes
