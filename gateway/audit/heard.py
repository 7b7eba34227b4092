"""What was said? The bytes of one request and of its answer, up to a bound, as they pass by."""

from typing import Final

SMALL: Final = 1024
"""Bytes. A smaller piece is copied behind the one before: by itself two bytes of a stream would take 43."""
PIECE_BYTES: Final = 96
"""Of memory for each piece, besides its bytes."""
SPARE: Final = 8
"""Pieces that are put together take an eighth more than they have, for the next ones."""


class Heard:
    """Both sides of a request.

    Args:
        bound: bytes that are kept of each side.
    """

    __slots__ = ("answered", "asked")

    def __init__(self, bound: int) -> None:
        self.asked = Side(bound)
        self.answered = Side(bound)

    @property
    def memory(self) -> int:
        """Bytes that it takes, whatever the size of the pieces in which it came."""
        return self.asked.memory + self.answered.memory


class Side:
    """One side of it: large pieces by reference, small ones copied into one.

    Attributes:
        cut: there was more.
    """

    __slots__ = ("_parts", "_room", "_tail", "cut")

    def __init__(self, bound: int) -> None:
        self._room = bound
        self._parts: list[bytes | bytearray] = []
        self._tail: bytearray | None = None
        """The last part, where small pieces can be added to it."""
        self.cut = False

    def add(self, data: bytes) -> None:
        """A further piece has passed."""
        if len(data) > self._room:
            self.cut = True
            data = data[: self._room]
        self._room -= len(data)
        if len(data) >= SMALL:
            self._parts.append(data)
            self._tail = None
        elif self._tail is not None:
            self._tail += data
        elif data:
            self._tail = bytearray(data)
            self._parts.append(self._tail)

    @property
    def body(self) -> bytes:
        """What was kept, as one."""
        return b"".join(self._parts)

    @property
    def memory(self) -> int:
        """Bytes that it takes."""
        size = sum(map(len, self._parts))
        return size + size // SPARE + len(self._parts) * PIECE_BYTES
