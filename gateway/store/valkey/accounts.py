"""What have keys and organizations used on all hosts? The server counts, and the host's own store mirrors it.

Usage records and wills stay in the host's store: a request is in its journal whatever becomes of the server. While that
is away, the host's store decides by what it saw last; what was used then is added when the server is back.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from gateway.core.principal import KEY_ACCOUNT, AccountLimits
from gateway.core.usage_sheet import Sheet
from gateway.store import account as arithmetic
from gateway.store.accounts import (
    Accounts,
    Claim,
    JournalCounts,
    OverLimitError,
    Reservation,
    Standing,
    Will,
    Windows,
)
from gateway.store.errors import StoreUnavailableError
from gateway.store.records import record_name
from gateway.store.valkey.connection import LostError, Reply, Word
from gateway.store.valkey.scripts import ACCOUNTS, keys_of, tags_key
from gateway.store.valkey.server_clock import ServerClock
from gateway.store.valkey.session import Session

AWAY = "The server that counts for all hosts is away."
ANOTHER_DAY = "The server that counts for all hosts has another day."

SETTLE_SECS = 0.01
"""What ends in that time is told the server in one write, and in one script for each organization."""

_encode = msgspec.msgpack.Encoder().encode
Shown = tuple[int, int, int, int, int, int, int, int]
"""An account in the server's words: microseconds until its buckets are full, then the calendar's numbers."""
_decode_verdict = msgspec.msgpack.Decoder(tuple[bool, list[Shown]] | float).decode
_decode_shown = msgspec.msgpack.Decoder(Shown | float).decode
_decode_time = msgspec.msgpack.Decoder(float).decode
Said = TypeVar("Said")


class Mirror(Accounts, Protocol):
    """The accounts of the host's own store."""

    def mirror(
        self,
        claims: Sequence[Claim],
        decided: Sequence[tuple[Windows, Standing]],
        *,
        tokens: int,
        windows: Windows,
        will: Will,
    ) -> Reservation:
        """Take over what the server has decided."""
        ...

    def learn(self, claims: Sequence[Claim], decided: Sequence[tuple[Windows, Standing]], windows: Windows) -> None:
        """Take over how the server says that accounts stand, where it grants nothing."""
        ...


class Entry(Struct, eq=False):
    """One request of this worker, as the server is told of it.

    `known`: the server has its reservation. `asked`: it may have heard what the request cost.
    """

    tag: bytes
    member: str
    tokens: int
    will: int
    counted: Sequence[tuple[str, Windows, tuple[int, int]]] = ()
    known: bool = False
    asked: bool = False
    requests: int = 0
    spent: int = 0


class ValkeyAccounts:
    """`Accounts` of one worker of one of several hosts.

    Attributes:
        away: the server does not decide now.
        behind: it does not decide about accounts yet, as it lost them and the ledger is still to be counted there.
        hosts: how many share a limit.
        wall: the server's time of day, as far as it is known.
    """

    def __init__(self, session: Session, local: Mirror, token: Callable[[], int], time: ServerClock) -> None:
        self._session = session
        self._script = session.scripts.accounts
        self._local = local
        self._token = token
        self._running: dict[Reservation, Entry] = {}
        self._ended: list[Entry] = []
        self._owed: dict[bytes, dict[tuple[str, Windows], list[int]]] = {}
        self._tags: defaultdict[bytes, int] = defaultdict(int)
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._epoch = ""
        self.away = True
        self.behind = False
        self.hosts = 1
        self._time = time
        self.wall = time.wall

    def open(self, epoch: str) -> None:
        """Begin; the server's epoch is that as far as this host knows."""
        self._epoch = epoch

    async def close(self) -> None:
        """Say what has ended; what still runs is booked as its will says when the worker parts."""
        if self._timer is not None:
            self._timer.cancel()
        if not self.away:
            await self._write()

    async def reserve(self, claims: Sequence[Claim], *, tokens: int, windows: Windows, will: Will) -> Reservation:
        """See `Accounts.reserve`."""
        entry = Entry(tag_of(claims), self._session.member(self._token()), tokens, will.tokens)
        decided = None
        if not self.away and not self.behind:
            self._enter(entry.tag)
            try:
                decided = await self._decide(entry, claims, windows)
            except LostError:
                self._tags[entry.tag] -= 1
            except OverLimitError:
                self._tags[entry.tag] -= 1
                raise
            except BaseException:  # nobody waits any more for what the server may grant
                self._close(entry)
                raise
        if decided is None:
            part = [Claim(name, share(limits, self.hosts, tokens)) for name, limits in claims]
            reservation = await self._local.reserve(part, tokens=tokens, windows=windows, will=will)
            self._enter(entry.tag)
        else:
            entry.known = True
            try:
                reservation = self._local.mirror(claims, decided, tokens=tokens, windows=windows, will=will)
            except StoreUnavailableError:
                self._close(entry)
                raise
        entry.counted = [
            (named(name), counted, (limits.requests_per_minute, limits.tokens_per_minute))
            for (name, limits), counted in zip(claims, reservation.windows, strict=True)
        ]
        self._running[reservation] = entry
        return reservation

    def lent(self, claims: Sequence[Claim], windows: Windows) -> None:
        """See `Accounts.lent`: the server is to hear of each request, if only later."""

    def settle(self, reservation: Reservation, *, requests: int, tokens: int, record: bytes | None) -> None:
        """See `Accounts.settle`."""
        entry = self._running.pop(reservation, None)
        self._local.settle(reservation, requests=requests, tokens=tokens, record=record)
        if entry is None:
            return
        entry.requests, entry.spent = requests, tokens
        if entry.known:
            self._close(entry)
        else:
            self._owe(entry)

    async def journal(self, most: int) -> list[Sheet]:
        """See `Accounts.journal`: this host's."""
        return await self._local.journal(most)

    async def forget(self, keys: Sequence[bytes]) -> None:
        """See `Accounts.forget`."""
        await self._local.forget(keys)

    async def standing(self, account: str, windows: Windows) -> Standing:
        """See `Accounts.standing`."""
        known_here = await self._local.standing(account, windows)
        if self.away or self.behind:
            return known_here
        tag, name = ACCOUNTS + record_name(account), named(account)

        async def ask(windows: Windows) -> Shown | float:
            answer: Shown | float = _decode_shown(await self._run(tag, "standing", name, _encode(windows)))
            return answer

        try:
            await self._write()
            counted, at = said(await self._ask_now(windows, ask))
        except LostError:
            return known_here
        if at != known_here:
            self._learn([Claim(account, AccountLimits())], [(counted, at)], counted)
        return at

    async def restore(self, account: str, windows: Windows, day: tuple[int, int], month: tuple[int, int]) -> None:
        """See `Accounts.restore`; while the server is away, or has another day, it is StoreUnavailableError."""
        if self.away:
            raise StoreUnavailableError(AWAY)
        asked, words = self._time.monotonic(), (named(account), _encode((windows, day, month)))
        try:
            reply = await self._run(ACCOUNTS + record_name(account), "restore", *words)
        except LostError as error:
            raise StoreUnavailableError(AWAY) from error
        if isinstance(reply, bytes):
            self._time.learn(_decode_time(reply), asked)
            raise StoreUnavailableError(ANOTHER_DAY)

    async def page(self, after: str, most: int, windows: Windows) -> Sequence[tuple[str, Standing]]:
        """See `Accounts.page`; as they were at the server when this host last asked."""
        return await self._local.page(after, most, windows)

    def journal_counts(self) -> JournalCounts:
        """See `Accounts.journal_counts`."""
        return self._local.journal_counts()

    def epoch(self) -> str:
        """See `Accounts.epoch`: the server's, of which all hosts are a part; this host's until one was seen."""
        return self._epoch or self._local.epoch()

    def host(self) -> str:
        """See `Accounts.host`."""
        return self._local.host()

    async def joined(self, epoch: str, *, known: bool) -> None:
        """Tell a server that does not decide yet what was used without it, and what runs.

        What has ended under another epoch is the ledger's to add. If the server does not know this worker, it has
        refunded or lost what it had; what it may have heard of before is not told again, so that nothing counts twice.
        """
        if epoch != self._epoch:
            self._epoch = epoch
            self._owed.clear()
            self._drop_ended()
        if not known:
            for entry in self._running.values():
                entry.known = False
            for entry in self._drop_ended():
                if not entry.asked:
                    self._owe(entry)
        self._correct()
        await self._write()
        theirs = await self._session.ask("SMEMBERS", tags_key(self._session.worker))
        await self.agree(tag for tag in theirs if tag.startswith(ACCOUNTS))

    async def agree(self, alone: Iterable[bytes] = ()) -> None:
        """Tell the server of requests that it does not know. Under the tags `alone` it is to have no others of ours.

        Raises LostError.
        """
        running: dict[bytes, list[Entry]] = {tag: [] for tag in alone}
        whole = set(running)
        for entry in self._running.values():
            if entry.tag in whole or not entry.known:
                running.setdefault(entry.tag, []).append(entry)
        worker = self._session.worker
        for tag, entries in running.items():
            unknown = [entry for entry in entries if not entry.known]
            words = _encode([(entry.member, entry.tokens, entry.will, entry.counted) for entry in entries])
            for entry in unknown:  # one that ends from now on is settled behind this
                entry.known = True
            self._session.send("SADD", tags_key(worker), tag)
            try:
                await self._run(tag, "sync", worker, words, int(tag in whole))
            except LostError:
                for entry in unknown:
                    entry.known = False
                raise
        for tag in list(self._owed):
            used = [(name, windows, *sums) for (name, windows), sums in self._owed.pop(tag).items()]
            await self._run(tag, "add", _encode(used))

    def leave_empty(self) -> None:
        """Nothing is left under tags where nothing runs."""
        empty = [tag for tag, entries in self._tags.items() if entries <= 0]
        for tag in empty:
            del self._tags[tag]
        if empty:
            self._session.send("SREM", tags_key(self._session.worker), *empty)

    async def _decide(self, entry: Entry, claims: Sequence[Claim], windows: Windows) -> list[tuple[Windows, Standing]]:
        """The server's decision. Raises OverLimitError, and LostError when it is not known."""
        known_as = [(named(name), limits) for name, limits in claims]

        async def ask(windows: Windows) -> tuple[bool, list[Shown]] | float:
            asked = _encode((known_as, entry.tokens, windows, entry.will))
            reply = await self._run(entry.tag, "reserve", entry.member, asked, self._epoch)
            verdict: tuple[bool, list[Shown]] | float = _decode_verdict(reply)
            return verdict

        fits, shown = await self._ask_now(windows, ask)
        if not fits and (self._ended or self._writing.locked()):  # what has ended may leave room
            await self._write()
            fits, shown = await self._ask_now(windows, ask)
        decided = [said(one) for one in shown]
        if fits:
            return decided
        windows = decided[0][0]
        self._learn(claims, decided, windows)
        states = [arithmetic.state_of(standing, counted, 0) for counted, standing in decided]
        raise arithmetic.over_limit(states, claims, entry.tokens, windows, 0)

    async def _ask_now(self, windows: Windows, ask: Callable[[Windows], Awaitable[Said | float]]) -> Said:
        """What the server says of these windows; of those of now, if its clock was set since we learned the time."""
        asked = self._time.monotonic()
        answer = await ask(windows)
        if isinstance(answer, float):
            self._time.learn(answer, asked)
            answer = await ask(self._time.windows())
            if isinstance(answer, float):
                raise LostError("its clock is set again and again")
        return answer

    def _learn(self, claims: Sequence[Claim], decided: Sequence[tuple[Windows, Standing]], windows: Windows) -> None:
        """Leave the host what the server says, for the time without it: other hosts may have used a quota up."""
        with contextlib.suppress(StoreUnavailableError):  # what is said here holds all the same
            self._local.learn(claims, decided, windows)

    def _enter(self, tag: bytes) -> None:
        """A request of this worker counts there: whoever buries it has to look."""
        if tag not in self._tags:
            self._session.send("SADD", tags_key(self._session.worker), tag)
        self._tags[tag] += 1

    def _close(self, entry: Entry) -> None:
        self._ended.append(entry)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_SECS, self._begin_to_write)

    def _owe(self, entry: Entry) -> None:
        """The server has not heard of a request that has ended."""
        self._tags[entry.tag] -= 1
        for name, windows, _ in entry.counted:
            self._count_owed(entry.tag, name, windows, (entry.requests, entry.spent))

    def _count_owed(self, tag: bytes, name: str, windows: Windows, used: Sequence[int]) -> None:
        sums = self._owed.setdefault(tag, {}).setdefault((name, windows), [0, 0])
        for at, amount in enumerate(used):
            sums[at] += amount

    def _correct(self) -> None:
        """Have what was counted without the server stand in days that there are by its clock."""
        counted_in = self._time.believed()
        for entry in self._running.values():
            entry.counted = [(name, counted_in(windows), limits) for name, windows, limits in entry.counted]
        owed, self._owed = self._owed, {}
        for tag, used in owed.items():
            for (name, windows), sums in used.items():
                self._count_owed(tag, name, counted_in(windows), sums)

    def _begin_to_write(self) -> None:
        self._timer = None
        if not self.away:
            task = asyncio.get_running_loop().create_task(self._write())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self) -> None:
        """Tell the server what has ended, and hear that it knows. What it may not know is told again."""
        async with self._writing:
            ended, self._ended = self._ended, []
            under: defaultdict[bytes, list[Entry]] = defaultdict(list)
            for entry in ended:
                entry.asked = True
                under[entry.tag].append(entry)
            with contextlib.suppress(LostError):
                await asyncio.gather(*(self._write_under(tag, entries) for tag, entries in under.items()))

    async def _write_under(self, tag: bytes, entries: list[Entry]) -> None:
        try:
            await self._run(tag, "settle", _encode([(one.member, one.requests, one.spent) for one in entries]))
        except BaseException:
            self._ended += entries
            raise
        self._tags[tag] -= len(entries)

    def _drop_ended(self) -> list[Entry]:
        dropped, self._ended = self._ended, []
        for entry in dropped:
            self._tags[entry.tag] -= 1
        return dropped

    async def _run(self, tag: bytes, *words: Word) -> Reply:
        return await self._session.run(self._script, keys_of(tag), *words)


def tag_of(claims: Sequence[Claim]) -> bytes:
    """Under which tag the accounts of a request stand: its organization's."""
    name = next((claim.account for claim in claims if not claim.account.startswith(KEY_ACCOUNT)), claims[0].account)
    return ACCOUNTS + record_name(name)


def named(account: str) -> str:
    """The name of an account at the server, whose scripts unpack text alone."""
    return record_name(account).decode("utf-8", "replace")


def share(limits: AccountLimits, hosts: int, tokens: int) -> AccountLimits:
    """What one of several hosts may grant: its part of a minute, but enough for one request, and whole quotas."""
    requests, most = limits.requests_per_minute, limits.tokens_per_minute
    return msgspec.structs.replace(
        limits,
        requests_per_minute=max(requests // hosts, min(requests, 1)),
        tokens_per_minute=max(most // hosts, min(most, tokens)),
    )


def said(shown: Shown) -> tuple[Windows, Standing]:
    """An account in our words: in which windows it counts, and what it has used."""
    requests_full, tokens_full, day, day_requests, day_tokens, month, month_requests, month_tokens = shown
    figures = (day_requests, day_tokens, month_requests, month_tokens)
    return Windows(day, month), Standing(requests_full / 1e6, tokens_full / 1e6, *figures)
