"""Who keeps the host from being stopped, and until when? One file beside what the gateways see."""

import contextlib
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

FILE = "hold.json"


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold.

    Attributes:
        until: when it ends, by the host's clock; also over a restart of the host.
        by: who made it.
        why: what for; may be empty.
    """

    until: datetime
    by: str
    why: str

    def __str__(self) -> str:
        return f"until {self.until:%Y-%m-%d %H:%M} UTC by {self.by}" + (f": {self.why}" if self.why else "")


class UnreadableHoldError(Exception):
    """There is a hold, and it cannot be told until when."""


def held(folder: Path, now: datetime) -> Hold | None:
    """The hold in force.

    Raises:
        UnreadableHoldError: the file is not what was written.
        OSError: it is another user's.
    """
    try:
        said = orjson.loads((folder / FILE).read_bytes())
        found = Hold(datetime.fromisoformat(said["until"]).astimezone(UTC), str(said["by"]), str(said["why"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableHoldError(f"{folder / FILE} cannot be read: `gateway idle release` removes it") from error
    return found if found.until > now else None


def keep(folder: Path, hold: Hold) -> None:
    """Put it in the place of the one before, in one step.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f"{FILE}.{secrets.token_hex(8)}"
    try:
        words = {"until": hold.until.isoformat(), "by": hold.by, "why": hold.why}
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(words))
        draft.replace(folder / FILE)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def let_go(folder: Path) -> None:
    """End it, whoever made it.

    Raises:
        OSError: it is another user's.
    """
    (folder / FILE).unlink(missing_ok=True)
