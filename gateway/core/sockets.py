"""How is a socket closed so that its peer cannot take it for a proper end? With a reset, at both doors."""

import socket
import struct

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""`struct linger`: on, for 0 s."""


def reset_on_close(sock: socket.socket) -> None:
    """Make the coming close a reset, which drops what the kernel has not sent yet.

    Raises:
        OSError: the socket is closed already.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
