"""What does a request need of the connection it came on?"""

from typing import Protocol


class Wire(Protocol):
    """What an exchange needs of its connection.

    Attributes:
        congested: whether the client takes what is written more slowly than it comes.
        slow: whether it took nothing for so long that the connection was reset.
    """

    congested: bool
    slow: bool

    def date_line(self) -> bytes:
        """The `date` header, without its line end."""
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes for the client."""
        ...

    async def relieved(self) -> None:
        """Wait until the client has taken enough of what was written, or has gone."""
        ...

    def resume_body(self) -> None:
        """The application wants more of the request's body."""
        ...

    def end(self, head: bytes, body: bytes) -> None:
        """Queue the answer's last bytes, and its head where that was held; when the client has taken enough, go on.

        That is as `keep_alive` says.
        """
        ...

    def untaken(self) -> int:
        """Bytes of what was written that wait for the client, beside what our kernel holds."""
        ...

    def undelivered(self) -> int:
        """Those, and what our kernel holds: all that the client's own kernel has not acknowledged."""
        ...

    def drop(self) -> None:
        """Reset, with all that was not taken."""
        ...

    def hang_up(self, *, reset: bool) -> None:
        """Close after what was written; `reset` makes sure that the client cannot take it for a clean end."""
        ...
