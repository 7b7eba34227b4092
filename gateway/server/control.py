"""Who keeps the control process alive? It starts one when the workers serve, and another whenever that dies."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable

from gateway.core.carried import carried
from gateway.observability.families.processes import CONTROL_DEATHS
from gateway.server.blueprint import Blueprint, Companion
from gateway.server.channel import END_SECS, FAILED, READY, ControlAssignment, send_control_assignment
from gateway.server.estate import Estate
from gateway.server.keeper import AS_TOLD, BACKOFF_SECS, NOT_STARTED_SECS, STEADY_SECS
from gateway.server.life import first_words
from gateway.server.process import ChildProcess
from gateway.server.pulse import ASK, Pulse

logger = logging.getLogger(__name__)

FIRST_LOOK_SECS = 1.0
"""How long the fleet's first look may keep it waiting. `/ready` waits for that too, and on one processor a control
process, which loads for a second, would share that with it."""
LOOK_SECS = 1.0
"""From one look at a control process's pulse to the next; also how long it is waited for where it stands."""
HUNG_LOOKS = 30
"""One whose loop has not turned for so many looks is killed and replaced, which costs no request and no record: it
holds the lock of who is on duty, and nobody else answers operators. Far above what any step of it takes."""
START_LOOKS = 60
"""The same for one whose loop has not begun to turn: it loads for a second, and a cold disk may need twenty."""
MOST_START_LOOKS = 16 * START_LOOKS
"""Each that was killed for it doubles that for those after it, up to here: a host may be slower than any number that we
think of, but one that loads for 16 minutes hangs."""


class ControlKeeper:
    """Keeps the control process of one generation; its life is `run`.

    Workers never wait for it and go on without it: whatever becomes of it is logged and counted, and nothing else.

    Args:
        estate: what generations share; the control process of the one before is ended when ours serves.
        blueprint: what it is made from.
        companion: of the generation.
    """

    def __init__(self, estate: Estate, blueprint: Blueprint, companion: Companion) -> None:
        self._estate = estate
        self._blueprint = blueprint
        self._companion = companion
        self._over = asyncio.Event()
        self._process: ChildProcess | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._overdue = False
        self._hung = ""
        """How long the one that runs stood still before it was killed for it."""
        self._served = False
        """Whether the one that runs, or ran last, has come to serve."""
        self._start_looks = START_LOOKS
        """How long the next one may load. Never shortened: what was slow once may be so again."""
        self._relieve_earlier: Callable[[], None] | None = None
        """Ends those of the generations before; None: ours is not in line with them."""

    async def run(self, serving: asyncio.Future[None]) -> None:
        """Wait until the workers serve and the fleet was looked at; then keep a control process until `end`."""
        loop = asyncio.get_running_loop()
        over = asyncio.ensure_future(self._over.wait())
        await asyncio.wait((serving, over), return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if not self._over.is_set() and serving.exception() is None:
            self._stand_in_line()
            await self._let_look()
        quick_deaths = 0
        while not self._over.is_set() and serving.exception() is None:
            born = loop.time()
            how = await self._live()
            if self._over.is_set() and not how:
                return
            # One that never served died quickly, however long it took: on a slow host its start takes a while.
            quick = not self._served or loop.time() - born < STEADY_SECS
            quick_deaths = quick_deaths + 1 if quick else 0
            delay = BACKOFF_SECS[min(max(quick_deaths - 1, 0), len(BACKOFF_SECS) - 1)]
            self._estate.figures.count(CONTROL_DEATHS)
            terms = {"next_in_secs": delay, "next_may_load_secs": self._start_looks * LOOK_SECS}
            next_one = {} if self._over.is_set() else terms
            logger.error("control_died", extra={"how": how or "ended unasked", **next_one})
            await self._pause(delay)

    async def _let_look(self) -> None:
        """Wait for the companion's first look, for a while, or until there is nothing more to do."""
        waits = [asyncio.ensure_future(wait) for wait in (self._companion.first_round(), self._over.wait())]
        try:
            await asyncio.wait(waits, timeout=FIRST_LOOK_SECS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def end_in_turn(self) -> None:
        """End when the next generation's serves, where there is a next one: until then nobody else would answer."""
        if self._relieve_earlier and self._estate.relieve != self._relieved:
            waits = [asyncio.ensure_future(event.wait()) for event in (self._over, self._estate.stopping)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        self.end()

    def end(self) -> None:
        """Have it write down what it has and end, and replace it no more."""
        self._over.set()
        if self._process is not None and self._deadline is None:
            self._process.terminate()
            self._deadline = asyncio.get_running_loop().call_later(END_SECS, self._kill, self._process)

    def _kill(self, process: ChildProcess) -> None:
        """It has not ended in its time. That is no death: what it had is where the next one goes on."""
        self._overdue = True
        logger.error("control_overdue", extra={"pid": process.pid, "killed_after": END_SECS})
        process.kill()

    async def _live(self) -> str:
        """Start one, and be there until it has ended; how it did, empty where it was told to."""
        self._hung, self._served = "", False
        try:
            with (
                self._estate.exporter.page() as page,
                Pulse() as pulse,
                ChildProcess(self._blueprint.control) as process,
            ):
                self._process = process
                assignment = ControlAssignment(
                    settings=carried(self._blueprint.settings),
                    socket=self._estate.control_socket,
                    page=page,
                    pulse=pulse.descriptor,
                    board=self._companion.descriptor,
                )
                with contextlib.suppress(ConnectionError):
                    send_control_assignment(process.channel, assignment)
                async with self._watched(process, pulse):
                    words = await first_words(process.channel)
                    if words == READY:
                        self._serves(process.pid)
                    code = await process.wait()
        except OSError as error:  # no descriptor, process or memory for it
            await self._pause(NOT_STARTED_SECS)
            return f"cannot be started: {error}"
        finally:
            self._process = None
            if self._deadline is not None:
                self._deadline.cancel()
        if code in AS_TOLD or self._overdue:
            return ""
        if self._hung:
            return f"{self._hung} and was killed"
        if words.startswith(FAILED):
            return words.removeprefix(FAILED).decode(errors="replace").strip()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    @contextlib.asynccontextmanager
    async def _watched(self, process: ChildProcess, pulse: Pulse) -> AsyncIterator[None]:
        """The scope in which it is killed when it stands still."""
        watch = asyncio.create_task(self._watch(process, pulse))
        try:
            yield
        finally:
            watch.cancel()

    async def _watch(self, process: ChildProcess, pulse: Pulse) -> None:
        """Kill it when its loop has not turned from look to look, or has not begun to.

        Looks are counted, not seconds: where the host stood still, or we did, no time of ours has passed for it either.
        """
        born = asyncio.get_running_loop().time()
        looks, last = 0, 0.0
        while looks < (HUNG_LOOKS if last else self._start_looks):
            await _sleep(LOOK_SECS)
            before, last = last, pulse.last()
            looks = looks + 1 if last == before else 0
        if last:  # before its first beat it would not answer, but end
            pulse.clear_stack()
            process.signal(ASK)
            await _sleep(LOOK_SECS)  # one that is stopped (SIGSTOP) does not say where it stands
        else:
            self._start_looks = min(2 * self._start_looks, MOST_START_LOOKS)
        still = round(asyncio.get_running_loop().time() - (last or born), 1)
        logger.error("control_blocked", extra={"pid": process.pid, "blocked_secs": still, "stack": pulse.stack()})
        self._hung = f"{'stood still for' if last else 'did not begin within'} {looks * LOOK_SECS:g} s"
        process.kill()

    async def _pause(self, secs: float) -> None:
        """Wait, or until there is nothing more to do."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(secs):
                await self._over.wait()

    def _stand_in_line(self) -> None:
        self._relieve_earlier, self._estate.relieve = self._estate.relieve, self._relieved

    def _serves(self, pid: int) -> None:
        """Those of the generations before hand over by ending."""
        self._served = True
        logger.info("control_serving", extra={"pid": pid})
        self._end_earlier()

    def _relieved(self) -> None:
        """A later generation's serves; ours may never have come to that, and then earlier ones still wait for it."""
        self._end_earlier()
        self.end()

    def _end_earlier(self) -> None:
        if self._relieve_earlier:
            self._relieve_earlier()
            self._relieve_earlier = nobody


async def _sleep(secs: float) -> None:
    await asyncio.sleep(secs)  # noqa: TID251 -- other processes keep real time


def nobody() -> None:
    """There is nobody to relieve."""
