"""What does this worker hold and wait for? Its own book, which is right when the server's record is lost or differs."""

from dataclasses import dataclass, field

from gateway.store.protocol import Grant, Seat
from gateway.store.valkey.connection import Word
from gateway.store.valkey.scripts import SEATS
from gateway.store.waiters import Waiters


@dataclass(slots=True)
class Held:
    """What one request runs with; `shadow` is what the host's own store counts it as, while that one decides."""

    name: str
    limit: int
    organization: str = ""
    backend: bytes = b""
    shadow: Grant | Seat | None = None
    known: bool = True
    """Has the server been told of it?"""


@dataclass(slots=True)
class Wish:
    """What one request waits for; those who wait for slots have no candidates."""

    held: Held
    candidates: dict[bytes, str] = field(default_factory=dict)
    organization: bytes = b""


@dataclass(slots=True)
class Folder:
    """All that this worker has under one tag, by token.

    `pending` are those of which a question is on its way: until it is answered nobody but the server knows.
    """

    tag: bytes
    held: dict[int, Held] = field(default_factory=dict)
    waiting: dict[int, Wish] = field(default_factory=dict)
    pending: set[int] = field(default_factory=set)

    @property
    def empty(self) -> bool:
        """Is there nothing?"""
        return not (self.held or self.waiting or self.pending)

    @property
    def limit(self) -> int:
        """The newest limit that is known here."""
        newest = [wish.held.limit for wish in self.waiting.values()] or [held.limit for held in self.held.values()]
        return newest[-1] if newest else 1

    def words(self, worker: str) -> list[Word]:
        """What `sync` of the tag's script is told."""
        held = {token: one for token, one in self.held.items() if token not in self.pending}
        wishes = {token: wish for token, wish in self.waiting.items() if token not in self.pending}
        pending = [f"{worker}:{token}" for token in self.pending]
        said: list[Word]
        if not self.tag.startswith(SEATS):
            named = [f"{worker}:{token}" for token in held], [f"{worker}:{token}" for token in wishes]
            return [self.limit, len(held), len(pending), *named[0], *pending, *named[1]]
        said = [self.limit, len(held)]
        for token, one in held.items():
            said += f"{worker}:{token}", one.backend
        said += len(pending), *pending
        for token, wish in wishes.items():
            said += f"{worker}:{token}", wish.organization, len(wish.candidates), *wish.candidates
        return said


class Book:
    """All folders of one worker."""

    def __init__(self, waiters: Waiters) -> None:
        self.waiters = waiters
        self.folders: dict[bytes, Folder] = {}
        self.interruptions = 0
        """How often places at the server ceased to count: a request that waits compares it."""
        self._wishing: dict[int, Folder] = {}

    def folder(self, tag: bytes) -> Folder | None:
        """What there is under a tag."""
        return self.folders.get(tag)

    def wish(self, folder: Folder, token: int, wish: Wish) -> None:
        """A request asks, or waits."""
        folder.held.pop(token, None)
        folder.waiting[token] = wish
        folder.pending.add(token)
        self._wishing[token] = folder

    def heard(self, token: int, backend: bytes = b"") -> None:
        """It has a slot or seat. One that wants none any more has told the server so."""
        folder = self._wishing.pop(token, None)
        if folder is None:
            return
        held = folder.waiting.pop(token).held
        held.backend = backend
        folder.held[token] = held
        self.waiters.wake(token)

    def forget(self, folder: Folder, token: int) -> Held | None:
        """It ends: what it held."""
        folder.waiting.pop(token, None)
        folder.pending.discard(token)
        self._wishing.pop(token, None)
        return folder.held.pop(token, None)

    def interrupt(self) -> None:
        """Nobody waits at the server any more."""
        self.interruptions += 1
        self.waiters.wake_all()

    def remove_empty(self) -> list[bytes]:
        """Folders with nothing in them are no more: their tags."""
        empty = [tag for tag, folder in self.folders.items() if folder.empty]
        for tag in empty:
            del self.folders[tag]
        return empty
