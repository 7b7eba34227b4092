"""The limits' memory of several hosts: `LimiterStore` on a Valkey or Redis server, and what happens without it."""

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

from gateway.core.clock import Clock
from gateway.core.timings import Timings, Untimed
from gateway.store.accounts import Accounts, Windows, windows_in_utc
from gateway.store.choices import BUSIEST
from gateway.store.errors import StoreUnavailableError
from gateway.store.protocol import (
    Bucket,
    BucketState,
    Candidates,
    Grant,
    GroupCounts,
    KeyCounts,
    LimiterStore,
    Seat,
    StoreCounts,
)
from gateway.store.records import record_name
from gateway.store.valkey.accounts import Mirror, ValkeyAccounts
from gateway.store.valkey.address import address_of
from gateway.store.valkey.book import Book, Folder, Held
from gateway.store.valkey.connection import LostError
from gateway.store.valkey.hostwide import Hostwide, MovedError
from gateway.store.valkey.requests import Requests
from gateway.store.valkey.scripts import ACCOUNTS, EVERYBODYS, LINE, SEATS, bucket_keys, keys_of, turn_key
from gateway.store.valkey.server_clock import ServerClock
from gateway.store.valkey.session import Session
from gateway.store.valkey.workers import BEAT_SECS, Home, Workers, new_name
from gateway.store.waiters import Waiters

if TYPE_CHECKING:
    from gateway.store.settings import StoreSettings

CONNECT_SECS = 1.0
"""For a connection and its scripts; nobody waits for it but the worker's own start."""

RETRY_SECS = 0.25
SETTLE_SECS = 1.0
"""From the moment when a worker has the server again to the one when it lets the server decide: every other worker has
tried again by then, and said what it holds. Until then each host keeps to its share."""

RESTORE_SECS = 3.0
"""After that, a server that lost all has been told by a bookkeeper what the ledger has. Until then each host goes by
what it knew last of quotas: they could all be had again."""

AGREED_PER_BEAT = 4
"""A quarter of what a worker holds is compared with the server's record at each beat, so all of it within a second."""

AT_ONCE = 50
"""Tags that are asked about in one write, so that no answer takes the patience of a request's."""

log = logging.getLogger(__name__)


class ValkeyStore:
    """One worker of one of several hosts.

    Attributes:
        degraded: the server does not decide now, each host keeps to its share.
        outages: how often that began.
        accounts: those of all hosts; the journal is this host's.
    """

    def __init__(
        self,
        settings: "StoreSettings",
        clock: Clock,
        local: LimiterStore,
        on_away: Callable[[bool], None] = lambda _: None,
        timings: Timings | None = None,
        windows_at: Callable[[float], Windows] = windows_in_utc,
    ) -> None:
        self._clock = clock
        self._waiters = Waiters(clock)
        self._book = Book(self._waiters)
        self._address = address_of(settings)
        worker = new_name()
        patience = settings.redis_timeout_ms / 1e3
        self._session = Session(self._address, worker, patience, self._book.heard, self._lost)
        self._session.timed(timings or Untimed(), clock)
        self._home = Home(settings.limiter_path, worker)
        time = ServerClock(clock, windows_at)
        self._workers = Workers(self._session, self._home, time)
        self._requests = Requests(self._session, self._book)
        self._host = Hostwide(local, self._book)
        self._scripts = self._session.scripts
        self._tokens = itertools.count(1)
        self._round = 0
        self._restored_at = 0.0
        self._counted = StoreCounts(0, 0, 0, ())
        self._seats_counted: tuple[GroupCounts, ...] = ()
        self._most = settings.max_tracked_organizations
        self._closed = False
        self._on_away = on_away
        self._told = False
        self.degraded = True
        self.outages = 0
        self._accounts = ValkeyAccounts(self._session, cast("Mirror", local.accounts), self._tokens.__next__, time)
        self.accounts: Accounts = self._accounts

    @property
    def own(self) -> LimiterStore:
        """See `LimiterStore.own`; open with this one, and there whatever becomes of the server."""
        return self._host.store

    async def open(self) -> None:
        """Join the workers of all hosts; without the server, those of this host."""
        await self._host.store.open()
        try:
            self._home.open()
        except OSError as error:
            raise StoreUnavailableError(f"LIMITER_PATH cannot be used: {error}") from error
        self._accounts.open(self._home.epoch)
        try:
            await self._join(settle=False)
        except LostError as error:
            self._degrade(str(error))
        self._living = asyncio.get_running_loop().create_task(self._live())

    async def close(self) -> None:
        """See `LimiterStore.close`."""
        if self._closed:
            return
        self._closed = True
        self._living.cancel()
        await asyncio.wait([self._living])
        try:
            await self._accounts.close()
            await self._workers.part()
        except LostError as error:
            log.warning("limits_not_left", extra={"why": str(error)})
        self._session.close()
        self._book.folders.clear()
        self._book.interrupt()
        self._home.close()
        self._tell(away=False)
        await self._host.store.close()

    async def take(self, key: str, bucket: Bucket, cost: float = 1.0) -> BucketState:
        """See `LimiterStore.take`."""
        if not self.degraded:
            try:
                granted, *figures = await self._session.run(
                    self._scripts.bucket, bucket_keys(record_name(key)), bucket.rate, bucket.capacity, cost
                )
                return BucketState(bool(granted), *map(float, figures))
            except LostError:
                pass
        return await self._host.take(key, bucket, cost)

    async def acquire(self, key: str, *, limit: int, max_queued: int, patience: float) -> Grant:
        """See `LimiterStore.acquire`."""
        grant = Grant(key, next(self._tokens))
        held = Held(key, limit)
        since = asyncio.get_running_loop().time()
        left = patience
        while True:
            self._refuse_if_closed()
            try:
                if self.degraded:
                    grant.waited += await self._host.slot(held, max_queued, left)
                    self._note(LINE + record_name(key), grant.token, held)
                else:
                    grant.waited += await self._requests.slot(grant.token, held, max_queued, left)
            except (LostError, MovedError):
                left = max(0.0, since + patience - asyncio.get_running_loop().time())
            else:
                return grant

    def release(self, grant: Grant) -> None:
        """See `LimiterStore.release`."""
        if not grant.released:
            grant.released = True
            self._leave(LINE + record_name(grant.key), grant.token)

    async def seat(
        self, group: str, organization: str, *, candidates: Candidates, limit: int, max_queued: int, patience: float
    ) -> Seat:
        """See `LimiterStore.seat`."""
        seat = Seat(group, "", next(self._tokens))
        held = Held(group, limit, organization)
        since = asyncio.get_running_loop().time()
        left = patience

        def usable() -> dict[bytes, str]:
            return {record_name(backend): backend for backend in candidates()}

        while True:
            self._refuse_if_closed()
            try:
                if self.degraded:
                    seat.backend, waited = await self._host.seat(held, candidates, max_queued, left)
                    held.backend = record_name(seat.backend)
                    self._note(SEATS + record_name(group), seat.token, held)
                else:
                    seat.backend, waited = await self._requests.seat(seat.token, held, usable, max_queued, left)
            except (LostError, MovedError):
                left = max(0.0, since + patience - asyncio.get_running_loop().time())
            else:
                seat.waited = waited
                return seat

    def leave_seat(self, seat: Seat) -> None:
        """See `LimiterStore.leave_seat`."""
        if not seat.released:
            seat.released = True
            self._leave(SEATS + record_name(seat.group), seat.token)

    async def next_turn(self, name: str) -> int:
        """See `LimiterStore.next_turn`."""
        if not self.degraded:
            try:
                return int(await self._session.ask("INCR", turn_key(record_name(name)))) - 1
            except LostError:
                pass
        return await self._host.store.next_turn(name)

    async def lines(self) -> Sequence[KeyCounts]:
        """See `LimiterStore.lines`; over all hosts, as long as the server answers."""
        if not self.degraded:
            try:
                return await self._lines(await self._tags())
            except LostError:
                pass  # from now on its own count for this host
        return await self._host.store.lines()

    def counts(self) -> StoreCounts:
        """The state over all workers as of the last `refresh`; buckets end by themselves and are not counted."""
        return self._host.store.counts() if self.degraded else self._counted

    def seat_counts(self) -> tuple[GroupCounts, ...]:
        """See `LimiterStore.seat_counts`; of groups that this worker uses, as of the last beat or `refresh`."""
        return self._host.store.seat_counts() if self.degraded else self._seats_counted

    async def refresh(self) -> None:
        """Ask the server for what `counts` and `seat_counts` say, after all that was told it before."""
        if self.degraded:
            return
        try:
            tags = await self._tags()
            await self._count_seats(tag for tag in tags if tag.startswith(SEATS))
            each = await self._lines(tags)
        except LostError:
            return
        each.sort(key=lambda count: count.in_flight + count.queued, reverse=True)
        in_flight, queued = sum(count.in_flight for count in each), sum(count.queued for count in each)
        self._counted = StoreCounts(in_flight, queued, 0, tuple(each[:BUSIEST]))

    async def _tags(self) -> list[bytes]:
        """Of all that somebody uses."""
        return sorted(await self._workers.tags() | set(self._book.folders))

    async def _lines(self, tags: Sequence[bytes]) -> list[KeyCounts]:
        lines = [tag for tag in tags if tag.startswith(LINE)]
        figures = await asyncio.gather(*(self._session.run(self._scripts.line, keys_of(tag), "count") for tag in lines))
        return [
            KeyCounts(tag[len(LINE) :].decode("utf-8", "replace"), *counted)
            for tag, counted in zip(lines, figures, strict=True)
            if any(counted)
        ]

    async def _live(self) -> None:
        """Beat while there is a server, and look for one while there is none."""
        while True:
            try:
                if not self._session.connected:
                    await self._join(settle=True)
                await self._clock.sleep(BEAT_SECS)
                await self._beat()
            except LostError as error:
                self._session.close(str(error))
                await self._clock.sleep(RETRY_SECS)

    async def _join(self, *, settle: bool) -> None:
        await self._session.open(CONNECT_SECS)
        await self._enter(settle=settle)

    async def _enter(self, *, settle: bool) -> None:
        """Be one of the workers, say what runs here, and let the server decide when the others have done so, too."""
        await self._session.ask("SET", EVERYBODYS[1], self._most)
        known = await self._workers.join()
        if settle and self._home.epoch not in ("", self._workers.epoch):
            self._accounts.behind = True
        self._home.remember(self._workers.epoch)
        await self._accounts.joined(self._workers.epoch, known=known)
        await self._agree(self._book.folders.values())
        for _ in range(int(SETTLE_SECS / BEAT_SECS) if settle else 0):
            await self._clock.sleep(BEAT_SECS)
            await self._workers.beat()
            await self._agree(self._book.folders.values())
        ours = await self._workers.tags_of_ours()
        await self._agree([self._requests.enter(tag) for tag in ours if not tag.startswith(ACCOUNTS)])
        await self._accounts.agree()
        self.degraded = self._accounts.away = False
        self._restored_at = asyncio.get_running_loop().time() + RESTORE_SECS
        self._tell(away=False)
        self._host.end()
        await self._accounts.agree()
        await self._agree(self._book.folders.values())  # what the host gave in that very moment
        if self.outages:
            log.warning("limits_shared_again", extra=self._fields())

    async def _beat(self) -> None:
        if not await self._workers.beat():
            await self._enter_anew("it does not know this worker any more")
            return
        if self._accounts.behind and asyncio.get_running_loop().time() >= self._restored_at:
            self._accounts.behind = False
            await self._accounts.agree()
        self._accounts.leave_empty()
        empty = self._book.remove_empty()
        self._requests.forget(empty)
        self._round += 1
        folders = list(self._book.folders.values())
        agreed = await self._agree(
            folder
            for number, folder in enumerate(folders)
            if folder.waiting or (number + self._round) % AGREED_PER_BEAT == 0
        )
        if not agreed:
            await self._enter_anew("it has lost what runs")
            return
        await self._count_seats(tag for tag in list(self._book.folders) if tag.startswith(SEATS))

    async def _enter_anew(self, why: str) -> None:
        """The server lost its state, or some of it, or took us for dead: an outage, though it answers."""
        self._degrade(why)
        await self._enter(settle=True)

    async def _agree(self, folders: Iterable[Folder]) -> bool:
        """Has the server lost nothing that it knew under these tags?"""
        agreed = True
        for some in chunks(folders):
            agreed = all(await asyncio.gather(*(self._requests.agree(folder) for folder in some))) and agreed
        return agreed

    async def _count_seats(self, tags: Iterable[bytes]) -> None:
        found = []
        for tag in tags:
            queued, pairs = await self._session.run(self._scripts.seats, keys_of(tag), "count")
            taken = {
                backend.decode("utf-8", "replace"): int(number)
                for backend, number in zip(pairs[::2], pairs[1::2], strict=True)
            }
            if queued or taken:
                found.append(GroupCounts(tag[len(SEATS) :].decode("utf-8", "replace"), queued, taken))
        self._seats_counted = tuple(found)

    def _note(self, tag: bytes, token: int, held: Held) -> None:
        """What the host's own store gave is in the book, from which the server learns of it."""
        held.known = False
        self._requests.enter(tag).held[token] = held

    def _leave(self, tag: bytes, token: int) -> None:
        folder = self._book.folder(tag)
        if folder is None or token not in folder.held:
            return  # closed meanwhile
        held = self._requests.withdraw(folder, token)
        if held is not None and held.shadow is not None:
            self._host.release(held)

    def _lost(self, why: str) -> None:
        if self._closed:
            return
        if not self.degraded:
            self._degrade(why)

    def _degrade(self, why: str) -> None:
        self.degraded = self._accounts.away = True
        self._accounts.hosts = self._workers.hosts
        self.outages += 1
        self._tell(away=True)
        self._host.begin(self._workers.hosts)
        self._book.interrupt()
        log.error("limits_not_shared", extra={"why": why, **self._fields()})

    def _fields(self) -> dict[str, str | int]:
        """What a log line says of it: each worker and the control process see the server for themselves."""
        return {"pid": os.getpid(), "server": str(self._address), "hosts": self._workers.hosts}

    def _tell(self, *, away: bool) -> None:
        if away != self._told:
            self._told = away
            self._on_away(away)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreUnavailableError("The gateway is going away.")


def chunks(folders: Iterable[Folder]) -> Iterable[list[Folder]]:
    """The folders in lots of at most AT_ONCE."""
    rest = iter(folders if isinstance(folders, list) else list(folders))
    return iter(lambda: list(itertools.islice(rest, AT_ONCE)), [])
