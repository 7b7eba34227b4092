"""What of a backend is true for all hosts? Circuits that requests opened, one trial for all, an engine that hangs.

No request asks the server: the supervisor's one task tells what has changed on its board, five times a second, and
takes over what others have told. docs/decisions/0078 has what is shared, what is not, and why.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.circuit import Why
from gateway.backends.common import is_one_for_all, name_of_all
from gateway.backends.health import State
from gateway.backends.heritage import Heritage
from gateway.backends.probed import Probed
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster
from gateway.core.clock import Clock
from gateway.store.circuits import AwayError, Exchange, SharedCircuit, Told

if TYPE_CHECKING:
    from gateway.backends.breaker_settings import BreakerSettings

logger = logging.getLogger(__name__)

PERIOD_SECS = 0.2
BARRED_SECS = 3.0
"""Renewed each period: a host whose supervisor stands still decides alone after that."""
BEGIN_SECS = 2.0
"""In that time a trial that was claimed has to begin; the request that wanted it has gone elsewhere meanwhile."""
DOUBT_SECS = 15.0
"""For so long a host's word that an engine hangs holds, unless told again: then the host is dead, or cut off."""
RENEWED_SECS = 5.0
UNKNOWN = "?"
"""A stamp that no server has: all is looked at."""


@dataclass(eq=False, slots=True)
class Common:
    """One backend's circuit, on this host's board and at the server.

    Attributes:
        index: its column on the board.
        url: its name among hosts (`name_of_all`).
        until: from when a trial was due here, as it was told or taken over last; 0: closed.
        version: of the server's record that was told or taken over last.
        open: it is open by that record.
        alone: it is open here for a reason that is this host's own.
        noticed: since when an opening here waits for a probe that tells whose fault it is; 0: none does.
        wanted: the last request that met a bar, of those that were heeded.
        begins: until when the trial that was claimed may begin; 0: it is not ours.
    """

    index: int
    url: str
    until: float = 0.0
    version: int = 0
    open: bool = False
    alone: bool = False
    noticed: float = 0.0
    wanted: float = 0.0
    begins: float = 0.0


@dataclass(eq=False, slots=True)
class Doubted:
    """What this host's prober says of a backend: `told` is what others know of it, `due` when it is told again."""

    reason: str = ""
    told: str = ""
    due: float = 0.0


class InCommon:
    """One host's share in what hosts know of backends together; its life is `run`.

    Args:
        exchange: where hosts tell one another.
        heritage: has the board, and is told which engines hang by another host's word.
        breaker: the board's circuits; says what is taken over.
        settings: which circuits are shared, and how long a trial may take.
        clock: all times.
    """

    def __init__(
        self, exchange: Exchange, heritage: Heritage, breaker: Breaker, settings: "BreakerSettings", clock: Clock
    ) -> None:
        self._exchange = exchange
        self._heritage = heritage
        self._board: Board = heritage.board
        self._breaker = breaker
        self._is_shared = partial(is_one_for_all, shared=settings.backends_shared)
        self._pause = settings.circuit_recovery_timeout
        self._clock = clock
        self._common: dict[str, Common] = {}
        self._stamp = self._epoch = ""
        self._probes: dict[int, tuple[float, bool]] = {}
        self._doubts: dict[str, Doubted] = {}
        self._away = False

    def follow(self, roster: Roster) -> None:
        """These backends are in force."""
        known, self._common = self._common, {}
        for _, backend in roster.backends():
            index = self._board.index(backend.name)
            if self._is_shared(backend.url):
                name = name_of_all(backend.url)
                before = known.get(name)
                kept = before is not None and before.index == index
                self._common[name] = before if before is not None and kept else Common(index, name)
        self._doubts = {url: doubted for url, doubted in self._doubts.items() if url in self._common}
        self._stamp = UNKNOWN

    def probed(self, probed: Probed) -> None:
        """A probe has ended."""
        url = name_of_all(probed.backend.url)
        if url not in self._common:
            return
        health = probed.after
        self._probes[self._common[url].index] = probed.began, health.latency is not None
        told = health.reason if health.state is State.DOWN and health.reason is not Reason.RECOVERING else ""
        if health.reason is Reason.STALLED and self._heritage.hangs_elsewhere(probed.backend, self._clock.monotonic()):
            told = ""  # it is their word, and not ours to renew
        self._doubts.setdefault(url, Doubted()).reason = told

    async def run(self) -> None:
        """Tell and take over until cancelled. While nobody can be told each host goes on with its own."""
        try:
            while True:
                await self.round()
                await self._clock.sleep(PERIOD_SECS)
        finally:
            self._unbar()

    async def round(self) -> None:
        """Tell what is new here, then take over what is new elsewhere."""
        try:
            for one in list(self._common.values()):
                await self._tell(one)
            for url, doubted in list(self._doubts.items()):
                await self._tell_doubt(url, doubted)
            told = await self._exchange.look(self._stamp)
            if told is not None:
                self._take(told)
            for one in list(self._common.values()):
                await self._claim(one)
        except AwayError as error:
            self._unbar()
            if not self._away:
                self._away = True
                logger.warning("circuits_not_shared", extra={"why": str(error)})
        else:
            if self._away:
                self._away = False
                logger.info("circuits_shared_again")

    async def _tell(self, one: Common) -> None:
        """Tell of a change that was made here, if it is about the backend and not about our way there."""
        until = self._breaker.retry_at(one.index)
        why = self._breaker.why(one.index)
        if until == one.until:
            return
        if not until or why is None:
            if one.open:
                self._told(one, await self._exchange.closed(one.url, one.version), is_open=False)
            one.until, one.alone, one.noticed = 0.0, False, 0.0
        elif why is Why.RESTARTED or (one.until and until < one.until):
            one.alone = one.alone or not one.open  # each prober sees for itself; a trial brought forward is no news
            one.until = until
        elif why is Why.DRAINING or self._is_its_fault(one):
            left = until - self._clock.monotonic()
            pause, ours = self._breaker.pause(one.index), one.begins > 0
            version = await self._exchange.opened(one.url, seconds=left, pause=pause, why=why, trial=ours)
            self._told(one, version, is_open=True)
            one.until, one.alone = until, False
        elif not one.noticed:
            if one.begins:
                await self._exchange.give_back(one.url)
            one.until, one.alone, one.begins = until, True, 0.0

    def _told(self, one: Common, version: int, *, is_open: bool) -> None:
        """What was told is how it is now; or another host's word stands, and is taken over whole."""
        one.begins = 0.0
        if version:
            one.version, one.open = version, is_open
        else:
            one.version, self._stamp = 0, UNKNOWN

    def _is_its_fault(self, one: Common) -> bool:
        """Whether a probe that began after the opening was answered; while none has ended, `noticed` is set."""
        if not one.noticed:
            one.noticed = self._clock.monotonic()
            self._board.suspect(one.index, one.noticed)  # the prober looks at once
            return False
        began, answered = self._probes.get(one.index, (0.0, False))
        if began <= one.noticed:
            return False
        one.noticed = 0.0
        return answered

    async def _tell_doubt(self, url: str, doubted: Doubted) -> None:
        now = self._clock.monotonic()
        renewed = doubted.reason == Reason.STALLED and now >= doubted.due
        if doubted.reason == doubted.told and not renewed:
            return
        reason, doubted.due = doubted.reason, now + RENEWED_SECS
        await self._exchange.doubt(url, reason, DOUBT_SECS if reason else 0.0)
        doubted.told = reason

    def _take(self, told: Told) -> None:
        epoch = told.stamp.partition(":")[0]
        if epoch != self._epoch:  # versions begin anew
            self._epoch = epoch
            for one in self._common.values():
                one.version = 0
        for one in self._common.values():
            record = told.circuits.get(one.url)
            if record is None:
                self._lost(one)
            elif record.version != one.version:
                self._adopt(one, record)
        self._stamp = told.stamp
        self._heed(told)

    def _lost(self, one: Common) -> None:
        """The server does not know it: what is open here is told again."""
        if one.open:
            one.open, one.version, one.until, one.begins = False, 0, 0.0, 0.0

    def _adopt(self, one: Common, record: SharedCircuit) -> None:
        if record.open:
            moment = self._breaker.adopt(one.index, record.seconds, record.pause, Why(record.why))
            if not moment:
                return  # somebody stands still with the lock in his hand: looked at again with the next change
            one.until, one.alone, one.noticed, one.begins = moment, False, 0.0, 0.0
        elif one.open and not one.alone and one.until:
            self._breaker.shut(one.index, one.until)
            if not self._breaker.retry_at(one.index):
                one.until = 0.0
        one.version, one.open = record.version, record.open

    def _heed(self, told: Told) -> None:
        """Have our prober look at what others doubt; that an engine hangs it may not see, and believes."""
        now, hanging = self._clock.monotonic(), self._heritage.hanging
        before = set(hanging)
        hanging.clear()
        for doubt in told.doubts:
            one = self._common.get(doubt.backend)
            if one is None:
                continue
            name = self._board.backends[one.index].name
            if doubt.reason == Reason.STALLED:
                hanging[name] = now + doubt.seconds
            if name not in before or doubt.reason != Reason.STALLED:
                self._board.suspect(one.index, now)

    async def _claim(self, one: Common) -> None:
        """Let one host make the trial: whose requests want it, and who claims it first."""
        now = self._clock.monotonic()
        if not one.open or one.alone:
            self._board.bar(one.index, 0.0)
            return
        if self._breaker.retry_at(one.index) != one.until:  # its trial has ended, and is told first
            return
        if one.begins:
            if now < one.begins or not self._breaker.bar(one.index, now + BARRED_SECS):
                return
            one.begins = 0.0
            await self._exchange.give_back(one.url)
        wanted = self._board.wanted(one.index)
        if wanted > max(one.wanted, now - BEGIN_SECS) and self._breaker.retry_at(one.index) <= now:
            one.wanted = wanted
            if await self._exchange.claim(one.url, BEGIN_SECS + self._pause):
                one.begins = now + BEGIN_SECS
                self._board.bar(one.index, 0.0)
                return
        self._board.bar(one.index, now + BARRED_SECS)

    def _unbar(self) -> None:
        for one in self._common.values():
            self._board.bar(one.index, 0.0)
