"""What lives and ends together? The workers that were made from one blueprint, and their companion."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.server.blueprint import Blueprint, Companion
from gateway.server.control import ControlKeeper
from gateway.server.estate import Estate
from gateway.server.keeper import Keeper, WorkerFailedError

START_SECS = 60.0
"""How long a worker may take until it serves, where others serve meanwhile."""
FIRST_ROUND_SECS = 5.0
"""How long a companion's first look at the fleet is waited for, where others serve meanwhile."""


class Generation:
    """All workers of one blueprint; its life is `run`.

    Args:
        blueprint: what they are made from.
        estate: what they share with other generations.
        before: the generation that this one is to replace, which serves until it was; None at the start.

    Attributes:
        companion: that of its workers, once there is one.
        serving: done when all workers serve; it fails with WorkerFailedError when one cannot, and then none goes on.
    """

    def __init__(self, blueprint: Blueprint, estate: Estate, before: "Generation | None" = None) -> None:
        self.blueprint = blueprint
        self.serving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._estate = estate
        self._before = before
        self.companion: Companion | None = None
        self._keepers: list[Keeper] = []

    async def run(self) -> None:
        """Start the workers, and be there until the last one has ended; the companion lives as long."""
        try:
            async with self._accompanied() as companion, self._controlled(companion), asyncio.TaskGroup() as lives:
                try:
                    await self._grow(companion, lives)
                except WorkerFailedError as error:
                    self.fail(str(error))
                    self._abandon()
        except (OSError, ValueError) as error:
            self.fail(str(error))

    def retire(self) -> None:
        """Have the workers take no more connections, and end when those that they have have ended."""
        for keeper in self._keepers:
            keeper.retire()

    def fail(self, why: str) -> None:
        """It will not serve; nothing is changed if it does already."""
        if not self.serving.done():
            self.serving.set_exception(WorkerFailedError(why))
            self.serving.exception()  # seen: nobody waits for it any more when all is to end

    @asynccontextmanager
    async def _accompanied(self) -> AsyncIterator[Companion]:
        before = self._before
        with self._estate.exporter.page() as page:
            async with self.blueprint.companion(page, before.companion if before else None) as companion:
                del before  # it may end now, and is not to be held by who replaced it
                self.companion = companion
                try:
                    yield companion
                finally:
                    self.companion = None
                    self._keepers.clear()

    @asynccontextmanager
    async def _controlled(self, companion: Companion) -> AsyncIterator[None]:
        """With a control process from the moment when all workers serve until the last one has ended.

        Where another generation follows, it stays until that one's serves: idle workers end long before.
        """
        if not self.blueprint.control:
            yield
            return
        keeper = ControlKeeper(self._estate, self.blueprint, companion)
        life = asyncio.create_task(keeper.run(self.serving))
        try:
            yield
        finally:
            await keeper.end_in_turn()
            await life

    async def _grow(self, companion: Companion, lives: asyncio.TaskGroup) -> None:
        """Start all workers: at once, or one by one beside others that need the processors for their clients.

        Raises:
            WorkerFailedError: one did not come up.
        """
        alone = self._before is None
        self._before = None
        if not alone:
            companion.begin()
        settings = self.blueprint.settings
        for index in range(settings.gateway_workers):
            keeper = Keeper(index, self._estate, self.blueprint, companion)
            self._keepers.append(keeper)
            # Not before the first worker serves, which may have one processor together with us.
            keeper.serving.add_done_callback(lambda _: companion.begin())
            lives.create_task(keeper.run())
            if not alone and not await self._served_within([keeper], START_SECS):
                return
        if alone:
            await self._served_within(self._keepers, None)
        else:
            await self._seen_within(companion, FIRST_ROUND_SECS)
        if not self._estate.stopping.is_set():
            self.serving.set_result(None)

    @staticmethod
    async def _served_within(keepers: list[Keeper], seconds: float | None) -> bool:
        """Whether they all serve; False when they are wanted no more.

        Raises:
            WorkerFailedError: one of them cannot, or does not in time.
        """
        waits = [keeper.serving for keeper in keepers]
        done, late = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        served = [wait.result() for wait in done]
        if late:
            raise WorkerFailedError(f"a new worker did not come up within {seconds:g} s")
        return all(served)

    async def _seen_within(self, companion: Companion, seconds: float) -> None:
        """Wait for the companion's first look, but not longer than that, nor when all is to end."""
        waits = [asyncio.ensure_future(wait) for wait in (companion.first_round(), self._estate.stopping.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _abandon(self) -> None:
        """Of a generation that does not come up: who serves has clients by now, and retires."""
        for keeper in self._keepers:
            if keeper.serves():
                keeper.retire()
            else:
                keeper.kill()
