"""Which scripts decide, and which keys does each name? All keys stand in one slot, so on one node of a cluster."""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

from gateway.store.records import REMEMBERED_NAMES

FOLDER = Path(__file__).parent

CLOCK = (FOLDER / "clock.lua").read_text("utf-8")
"""How scripts tell the time: by the server's clock, never by a host's."""

LAYOUT = b"{gw2}:"
"""What all keys begin with; it changes with any change of what they hold. The first braces decide about the slot."""

WORKERS = (LAYOUT + b"{workers}", LAYOUT + b"{workers}:epoch")
CIRCUITS = (LAYOUT + b"{circuits}",)
LINE, SEATS, TURN, ACCOUNTS = b"o:", b"g:", b"t:", b"a:"
"""What tags begin with. Accounts stand in the slot of their organization's line."""

LINE_PARTS = (b":holders", b":queue", b":limit")
SEATS_PARTS = (b":holders", b":taken", b":wanted", b":places", b":details", b":rota", b":given", b":meta")
EVERYBODYS = (LAYOUT + b"accounts", LAYOUT + b"most", WORKERS[1])
"""The keys of accounts that there are, how many there may be, and the name of what the server has."""
PARTS: dict[bytes, tuple[bytes, ...]] = {
    LINE: LINE_PARTS,
    SEATS: SEATS_PARTS,
    ACCOUNTS: (b":accounts", b":reserved"),
}
"""What the keys under a tag end with."""


class Script(NamedTuple):
    """A script by its text, and by the digest that the server knows it under once it was loaded."""

    text: str
    sha: str


def script(name: str, prelude: str = "") -> Script:
    """The script of that file. Its digest is its version: gateways of two versions have one server side by side."""
    text = prelude + (FOLDER / f"{name}.lua").read_text("utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Scripts:
    """All scripts, read when a store is made."""

    def __init__(self) -> None:
        self.bucket = script("bucket", CLOCK)
        self.line = script("line")
        self.seats = script("seats")
        self.accounts = script("accounts", CLOCK)
        self.workers = script("workers")
        self.circuits = script("circuits", CLOCK)

    @property
    def all(self) -> tuple[Script, ...]:
        """What a new connection loads."""
        return self.bucket, self.line, self.seats, self.accounts, self.workers, self.circuits


@functools.lru_cache(maxsize=REMEMBERED_NAMES)
def bucket_keys(name: bytes) -> tuple[bytes, ...]:
    """Of one organization's bucket; it shares the slot of its line."""
    return (LAYOUT + b"{" + LINE + name + b"}:bucket",)


def turn_key(name: bytes) -> bytes:
    """The number of turns given out under a name."""
    return LAYOUT + b"{" + TURN + name + b"}"


def tags_key(worker: str) -> bytes:
    """The tags under which a worker may have something: where to look when it is dead."""
    return LAYOUT + b"{worker:" + worker.encode() + b"}:tags"


@functools.lru_cache(maxsize=REMEMBERED_NAMES)
def keys_of(tag: bytes) -> tuple[bytes, ...]:
    """The keys of a line, a group of seats or an organization's accounts, which its tag keeps together."""
    kind = tag[: len(LINE)]
    begins = LAYOUT + b"{" + (LINE + tag[len(ACCOUNTS) :] if kind == ACCOUNTS else tag) + b"}"
    return (*(begins + part for part in PARTS[kind]), *(EVERYBODYS if kind == ACCOUNTS else ()))
