"""What do all connections of a worker share? Who is connected, what runs, and the date that answers bear."""

import asyncio
from datetime import UTC, datetime
from typing import Final, Protocol

from gateway.core.asgi import Headers

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Connection(Protocol):
    """A client's connection, as the worker knows it."""

    def shutdown(self) -> None:
        """End soon: a drain has begun."""
        ...

    def retire(self) -> None:
        """End when that breaks no promise."""
        ...


class Serving:
    """One worker's connections and requests.

    Attributes:
        connections: those that are open.
        tasks: the requests that run.
        default_headers: what every answer bears: another list after each change.
    """

    __slots__ = ("connections", "default_headers", "tasks")

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.default_headers: Headers = []

    def tell_date(self) -> None:
        """Answers bear this second's date from now on."""
        self.default_headers = [(b"date", http_date(datetime.now(UTC)))]


def http_date(at: datetime) -> bytes:
    """A time in UTC as RFC 9110, section 5.6.7, spells it: `Sat, 21 Nov 2026 01:00:00 GMT`."""
    return f"{DAYS[at.weekday()]}, {at:%d} {MONTHS[at.month - 1]} {at:%Y %H:%M:%S} GMT".encode()
