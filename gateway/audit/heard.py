"""What was said? The bytes of one request and of its answer, up to a bound, as they pass by."""


class Heard:
    """Keeps references to what passes, never a copy but of the piece in which the bound is reached.

    Args:
        bound: bytes that are kept of each side.
    """

    __slots__ = ("answered", "asked")

    def __init__(self, bound: int) -> None:
        self.asked = Side(bound)
        self.answered = Side(bound)

    @property
    def size(self) -> int:
        """Bytes kept."""
        return self.asked.size + self.answered.size


class Side:
    """One side of it.

    Attributes:
        parts: what was kept.
        cut: there was more.
    """

    __slots__ = ("_room", "cut", "parts")

    def __init__(self, bound: int) -> None:
        self._room = bound
        self.parts: list[bytes] = []
        self.cut = False

    def add(self, data: bytes) -> None:
        """A further piece has passed."""
        if len(data) > self._room:
            self.cut = True
            data = data[: self._room]
        if data:
            self._room -= len(data)
            self.parts.append(data)

    @property
    def size(self) -> int:
        """Bytes kept."""
        return sum(map(len, self.parts))
