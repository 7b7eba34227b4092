"""What do both doors ask of the kernel? To close a socket with a reset, and what the peer has not taken."""

import fcntl
import socket
import struct
import termios

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""`struct linger`: on, for 0 s."""
COUNT = struct.Struct("i")


def reset_on_close(sock: socket.socket) -> None:
    """Make the coming close a reset, which drops what the kernel has not sent yet.

    Raises:
        OSError: the socket is closed already.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def unacknowledged(sock: socket.socket) -> int:
    """Bytes that our kernel holds for the peer: what is not sent, and what the peer's kernel has not acknowledged.

    An end (FIN) that waits there counts as one (SIOCOUTQ in tcp(7)).

    Raises:
        OSError, ValueError: the socket is closed already.
    """
    count: int = COUNT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(COUNT.size)))[0]
    return count
