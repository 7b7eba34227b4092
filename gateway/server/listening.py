"""Where do connections come in? The one listening socket that all workers share."""

import socket

BACKLOG = 2048
"""Connections that may wait to be accepted; the kernel lowers it to net.core.somaxconn."""
UNSENT_BYTES = 131072
"""What may wait in the kernel for a client that does not read. Without a bound it takes 4 MB (tcp_wmem): the backend
would not be slowed down, and nobody would notice that the client does not read."""
KEEPALIVE_IDLE_SECS = 60
KEEPALIVE_INTERVAL_SECS = 15
KEEPALIVE_PROBES = 4
"""A client whose machine vanished is noticed 60 + 4 * 15 s later, however silent its request is."""


class CannotListenError(Exception):
    """The address cannot be bound; the message says why."""


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen; every accepted socket inherits the options set here (tcp(7)).

    One socket for all workers, not SO_REUSEPORT: a connection goes to whichever worker is free, none is lost in the
    queue of a worker that died, and a second gateway on the same port fails at its start.

    Raises:
        CannotListenError: the port is taken, privileged, or the address is not this host's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListenError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListenError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.settimeout(0)
    return listener
