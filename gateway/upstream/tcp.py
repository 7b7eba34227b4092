"""What does the kernel know of a connection? Bytes acknowledged, something unread, bytes unsent; Linux."""

import select
import socket
import struct
from collections.abc import Callable
from errno import EPIPE

from gateway.core.sockets import reset_on_close, unacknowledged

BYTES_ACKED = struct.Struct("=Q")
BYTES_ACKED_OFFSET = 120
"""Place of `tcpi_bytes_acked` in `struct tcp_info` (linux/tcp.h, since Linux 4.1)."""
INFO_SIZE = BYTES_ACKED_OFFSET + BYTES_ACKED.size
CLOSED, CLOSE_WAIT = 7, 8
"""Values of `tcpi_state`, its first byte (TCP_CLOSE, TCP_CLOSE_WAIT in net/tcp_states.h)."""

PROBE_AFTER_SECS, PROBE_EVERY_SECS, PROBES = 15, 5, 4
"""A silent connection is probed, so that a vanished host is noticed; a busy backend's kernel answers."""
UNACKNOWLEDGED_MS = 45_000
"""Bytes that the backend's kernel does not take for that long end the connection; Linux alone would try for 15 min."""

RECEIVE_BYTES = 160 * 1024
"""What the kernel may take in for a reader that does not read; Linux counts its own overhead and grants twice as much.

Left alone it grows a fast connection's buffer to megabytes and keeps them when its reader stops. The smallest figure
that still fills 1 Gbit/s at 1 ms (record 49). Set once connected: nothing has been asked for, so nothing has come.
"""


def prepare(sock: socket.socket) -> None:
    """Send at once, take in a bounded number of bytes, and notice a host that vanished."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_AFTER_SECS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_EVERY_SECS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)


def acknowledge_late(sock: socket.socket) -> None:
    """Let what comes be acknowledged by the kernel's timer (40 ms) or with the next but one, not at each read.

    It holds until that timer fires. An acknowledgement of its own for each event of a stream, made within our read,
    would cost a third of what the kernel does for it.
    """
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    except (OSError, ValueError):
        return  # closed already, by uvloop's TLS


def acknowledged(sock: socket.socket) -> int | None:
    """Bytes of ours that the backend's kernel has acknowledged; the SYN counts as one.

    Still told after the connection has died; None when the socket is closed, as uvloop's TLS leaves it.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
    except (OSError, ValueError):
        return None
    acked: int = BYTES_ACKED.unpack_from(info, BYTES_ACKED_OFFSET)[0]
    return acked


def acknowledged_by_fin(sock: socket.socket) -> int | None:
    """The same, of a connection that the backend ended by a FIN; None where that is not certain.

    An end of file is no proof of a FIN: where a write has been told of a reset, the next read finds the end of file.
    The kernel's state is: it waits for our close, or a reset has followed, which the kernel calls EPIPE behind a FIN
    and ECONNRESET otherwise. Who has been told of that error has taken it away. To ask takes it away too.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
        state = info[0]
        if state != CLOSE_WAIT and (state != CLOSED or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != EPIPE):
            return None
    except (OSError, ValueError):
        return None
    acked: int = BYTES_ACKED.unpack_from(info, BYTES_ACKED_OFFSET)[0]
    return acked


def drop_unsent(sock: socket.socket, buffered: int) -> None:
    """Make the coming close a reset when bytes are still to be sent, here (`buffered`) or in the kernel.

    Otherwise they would be delivered before the backend sees the end.
    """
    try:
        if buffered or unacknowledged(sock):
            reset_on_close(sock)
    except (OSError, ValueError):
        pass  # closed already, by a cancelled connect or by uvloop's TLS


def watcher(sock: socket.socket) -> Callable[[int], list[tuple[int, int]]]:
    """A question to the kernel, asked with 0 (it does not wait): bytes, an end or an error not yet come round to?"""
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN | select.POLLRDHUP)
    return poll.poll
