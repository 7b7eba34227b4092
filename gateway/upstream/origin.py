"""What is known of one backend? How its requests begin, how its answers do, and its idle connections."""

from typing import TYPE_CHECKING

from gateway.upstream.address import Address
from gateway.upstream.head import HeadWriter
from gateway.upstream.usual import UsualAnswer

if TYPE_CHECKING:
    from gateway.upstream.connection import BackendConnection


class Origin:
    """One address, looked up once for each request.

    Attributes:
        address: where it is.
        writer: writes the heads of its requests.
        usual: the head that its answers repeat.
        resting: its idle connections, the one used last at the end, each with the loop's time at which it is closed.
    """

    __slots__ = ("address", "resting", "usual", "writer")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.writer = HeadWriter(address)
        self.usual = UsualAnswer()
        self.resting: dict[BackendConnection, float] = {}
