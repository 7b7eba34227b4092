"""Which scripts decide, and which keys does each name? All keys stand in one slot, so on one node of a cluster."""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

from gateway.store.records import REMEMBERED_NAMES
from gateway.store.subjects import SERVER, UPKEEP

FOLDER = Path(__file__).parent

CLOCK = (FOLDER / "clock.lua").read_text("utf-8")
"""How scripts tell the time: by the server's clock, never by a host's."""

CALENDAR = (FOLDER / "calendar.lua").read_text("utf-8")
"""How scripts check the days that hosts say."""

LAYOUT = b"{gw3}:"
"""What all keys begin with; it changes with any change of what they hold. The first braces decide about the slot."""

WORKERS = (LAYOUT + b"{workers}", LAYOUT + b"{workers}:epoch")
CIRCUITS = (LAYOUT + b"{circuits}",)
LINE, SEATS, TURN, ACCOUNTS = b"o:", b"g:", b"t:", b"a:"
"""What tags begin with."""

LINE_PARTS = (b":holders", b":queue", b":limit")
SEATS_PARTS = (b":holders", b":taken", b":wanted", b":places", b":details", b":rota", b":given", b":meta")
EVERYBODYS = (LAYOUT + b"accounts", LAYOUT + b"most", WORKERS[1])
"""The keys of accounts that there are, how many there may be, and the name of what the server has. An account's own key
is for its script to tell: a request counts in several."""
PARTS: dict[bytes, tuple[bytes, ...]] = {
    LINE: LINE_PARTS,
    SEATS: SEATS_PARTS,
    ACCOUNTS: (b":reserved",),
}
"""What the keys under a tag end with."""


class Script(NamedTuple):
    """A script by its text, and by the digest that the server knows it under once it was loaded; what it is about."""

    text: str
    sha: str
    subject: str


def script(name: str, subject: str, prelude: str = "") -> Script:
    """The script of that file. Its digest is its version: gateways of two versions have one server side by side."""
    text = prelude + (FOLDER / f"{name}.lua").read_text("utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), SERVER + subject)


class Scripts:
    """All scripts, read when a store is made."""

    def __init__(self) -> None:
        self.bucket = script("bucket", "bucket", CLOCK)
        self.line = script("line", "slot")
        self.seats = script("seats", "seat")
        self.accounts = script("accounts", "account", CLOCK + CALENDAR)
        self.workers = script("workers", UPKEEP, CLOCK)
        self.circuits = script("circuits", "circuit", CLOCK)

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
