"""How does one request get a slot or a seat from the server? A question, and a message if it has to wait."""

import asyncio
from collections.abc import Callable

from gateway.store.errors import NoPlaceError, NoSlotError
from gateway.store.records import record_name
from gateway.store.valkey.book import Book, Folder, Held, Wish
from gateway.store.valkey.connection import LostError, Reply, Word
from gateway.store.valkey.scripts import LINE, SEATS, keys_of, tags_key
from gateway.store.valkey.session import Session
from gateway.store.waiters import LOOK_SECS

GRANTED, WAITS, REFUSED = 1, 0, -1

Usable = Callable[[], dict[bytes, str]]
"""The candidates of now, by the names that records have for them."""


class Requests:
    """The requests of one worker that the server decides about."""

    def __init__(self, session: Session, book: Book) -> None:
        self._session = session
        self._book = book
        self._waiters = book.waiters

    async def slot(self, token: int, held: Held, max_queued: int, patience: float) -> float:
        """Have a slot: the seconds waited. Raises NoPlaceError, NoSlotError, and LostError when nobody decided."""
        folder = self.enter(LINE + record_name(held.name))
        try:
            verdict = await self._ask(folder, token, Wish(held), "enter", held.limit, max_queued)
            refused = verdict == REFUSED
            if verdict == GRANTED:
                self._book.heard(token)
            waited = 0.0 if refused or token in folder.held else await self._wait(folder, token, patience)
            late = not refused and token not in folder.held
            if late and await self._ask(folder, token, Wish(held), "settle") == GRANTED:
                self._book.heard(token)
        except BaseException:
            self.withdraw(folder, token)
            raise
        if token in folder.held:
            return waited
        self._book.forget(folder, token)
        raise NoPlaceError if refused else NoSlotError

    async def seat(self, token: int, held: Held, usable: Usable, max_queued: int, patience: float) -> tuple[str, float]:
        """Have a seat: its backend, and the seconds waited. Raises as `slot` does."""
        folder = self.enter(SEATS + record_name(held.name))
        organization = record_name(held.organization)
        wish = Wish(held, usable(), organization)
        ends, waited = asyncio.get_running_loop().time() + patience, 0.0
        asked: tuple[Word, ...] = organization, held.limit, max_queued, *wish.candidates
        refused = False
        try:
            reply = await self._ask(folder, token, wish, "enter", *asked)
            refused = reply is None
            self._sit(token, reply)
            while not refused and (token not in folder.held or held.backend not in wish.candidates):
                over = ends - asyncio.get_running_loop().time()
                if token not in folder.held:
                    waited += await self._wait(folder, token, max(0.0, min(LOOK_SECS, over)))
                over = ends - asyncio.get_running_loop().time()
                wish = await self._look(folder, token, Wish(held, usable(), organization), wish, over)
        except BaseException:
            self.withdraw(folder, token)
            raise
        if refused:
            self._book.forget(folder, token)
            raise NoPlaceError
        return wish.candidates[held.backend], waited

    async def _look(self, folder: Folder, token: int, now: Wish, before: Wish, left: float) -> Wish:
        """See whether it has a seat that it can use now; what it wishes from now on. Raises NoSlotError."""
        if not now.candidates:
            raise NoSlotError
        given = token in folder.held
        if given and now.held.backend in now.candidates:
            return now
        if given or now.candidates != before.candidates:
            self._sit(token, await self._ask(folder, token, now, "look", *now.candidates))
        elif left <= 0:
            self._sit(token, await self._ask(folder, token, now, "settle"))
        if left <= 0 and token not in folder.held:
            raise NoSlotError
        return now

    def enter(self, tag: bytes) -> Folder:
        """The folder of a tag. The server knows that this worker has one before it has anything under it."""
        folder = self._book.folders.get(tag)
        if folder is None:
            folder = self._book.folders[tag] = Folder(tag)
            self._session.send("SADD", tags_key(self._session.worker), tag)
        return folder

    def forget(self, tags: list[bytes]) -> None:
        """Nothing is left under these tags."""
        if tags:
            self._session.send("SREM", tags_key(self._session.worker), *tags)

    def withdraw(self, folder: Folder, token: int) -> Held | None:
        """Give up whatever a request has: what it held, if it did; what is repeated does nothing."""
        held = self._book.forget(folder, token)
        script = self._session.scripts.seats if folder.tag.startswith(SEATS) else self._session.scripts.line
        self._session.post(script, keys_of(folder.tag), "leave", self._session.member(token))
        return held

    async def agree(self, folder: Folder) -> bool:
        """Make the server's record say what this worker says, and hear what it has given meanwhile.

        False: it had lost something that it knew.
        """
        seats = folder.tag.startswith(SEATS)
        script = self._session.scripts.seats if seats else self._session.scripts.line
        worker = self._session.worker
        self._session.send("SADD", tags_key(worker), folder.tag)
        given, missing = await self._session.run(script, keys_of(folder.tag), "sync", worker, *folder.words(worker))
        for at in range(0, len(given), 2 if seats else 1):
            token = token_of(given[at])
            if token not in folder.pending:
                self._book.heard(token, given[at + 1] if seats else b"")

        lost = False
        for member in missing:
            held = folder.held.get(token_of(member))
            lost = lost or held is None or held.known
            if held is not None:
                held.known = True
        return not lost

    async def _ask(self, folder: Folder, token: int, wish: Wish, operation: str, *words: Word) -> Reply:
        """One question about one request, during which only the server knows."""
        self._book.wish(folder, token, wish)
        script = self._session.scripts.seats if folder.tag.startswith(SEATS) else self._session.scripts.line
        try:
            return await self._session.run(script, keys_of(folder.tag), operation, self._session.member(token), *words)
        finally:
            folder.pending.discard(token)

    async def _wait(self, folder: Folder, token: int, patience: float) -> float:
        interruptions = self._book.interruptions
        waited = await self._waiters.wait(token, patience)
        if token not in folder.held and self._book.interruptions != interruptions:
            raise LostError("lost while it waited")
        return waited

    def _sit(self, token: int, reply: Reply) -> None:
        if reply:
            self._book.heard(token, reply)


def token_of(member: bytes) -> int:
    """Which request of its worker a member is."""
    return int(member.partition(b":")[2])
