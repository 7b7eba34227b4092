"""On which version was a change decided? ETags, and If-Match against lost updates."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Protocol, TypeVar

from fastapi import Header, Response

from gateway.admin.errors import PreconditionFailedError, PreconditionRequiredError
from gateway.database.errors import ConflictError

WEAK = "W/"
"""A proxy that compresses an answer puts this before its ETag; it names the same version all the same."""

IfMatch = Annotated[
    str | None,
    Header(description="The ETag that the resource had when it was read. Without it 428, if it has another now 412."),
]


class Versioned(Protocol):
    """A row of which each change, of whatever row, makes another version."""

    @property
    def created(self) -> float:
        """Seconds since 1970."""
        ...

    @property
    def version(self) -> int:
        """The number of the change that wrote it."""
        ...


Row = TypeVar("Row", bound=Versioned)


def etag_of(row: Versioned) -> str:
    """The row's version; what was deleted and created again has another one.

    When it was created stands beside it for a database that is restored from a copy, and counts on from there.
    """
    return f'"{row.version}-{int(row.created * 1000):x}"'


def state_version(response: Response, row: Versioned) -> None:
    """Put the ETag on an answer."""
    response.headers["etag"] = etag_of(row)


@asynccontextmanager
async def unchanged(read: Callable[[], Awaitable[Row]], if_match: str | None) -> AsyncIterator[Row]:
    """The row, for a change that is made only if it is still the one that `if_match` names.

    Raises:
        PreconditionRequiredError: `if_match` is missing, or is a star, which would overwrite what nobody has read.
        PreconditionFailedError: it names another version, or became another one while it was being changed.
        ConflictError: the change itself is refused.
    """
    row = await read()
    _demand(if_match, row)
    try:
        yield row
    except ConflictError:
        _demand(if_match, await read())
        raise


def _demand(if_match: str | None, row: Versioned) -> None:
    named = {part.strip().removeprefix(WEAK) for part in (if_match or "").split(",")} - {"", "*"}
    if not named:
        raise PreconditionRequiredError(
            "Read it first, and send its ETag as If-Match: to change what was not read could undo another's change.",
            param="if-match",
        )
    if etag_of(row) not in named:
        raise PreconditionFailedError(
            "It was changed since you read it: read it again, and decide anew.",
            param="if-match",
            headers=[(b"etag", etag_of(row).encode())],
        )
