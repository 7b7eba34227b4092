"""How does a backend end a connection, and what is done on this side to see what that proves?"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway.upstream.connection import BackendConnection
from gateway.upstream.http11 import Http11Client
from gateway.upstream.protocol import UpstreamRequest
from tests.upstream.backend import OK, PATIENCE_SECS, Backend, Peer, Script

POST = UpstreamRequest(b"POST", b"/", [], b"{}")


async def exchange(client: Http11Client, backend: Backend) -> bytes:
    reply = await client.send(backend.address, POST)
    try:
        return await reply.read()
    finally:
        reply.close()


def answered_then(end: Script) -> Script:
    """Answer three requests, so that the kernel delays its acknowledgements as in daily life, then run `end`."""

    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
            peer.say(OK)
        end(peer)

    return script


class Closes:
    """The end of a script: ends the connection, and says that it has."""

    def __init__(self, how: Script = Peer.close) -> None:
        self.done = threading.Event()
        self._how = how

    def __call__(self, peer: Peer) -> None:
        self._how(peer)
        self.done.set()
        if peer.sock.fileno() >= 0:
            peer.until_left()

    def wait(self) -> bool:
        """Blocks the loop: its selector cannot tell us."""
        return self.done.wait(PATIENCE_SECS)


def half_close(peer: Peer) -> None:
    """As a close of which nothing but the FIN has come yet."""
    peer.sock.shutdown(socket.SHUT_WR)


@contextmanager
def descriptor_to(port: int) -> Iterator[socket.socket]:
    """Another one of the socket here that leads to `port`."""
    for descriptor in Path("/proc/self/fd").iterdir():
        if leads_to(port, int(descriptor.name)):
            with socket.socket(fileno=os.dup(int(descriptor.name))) as beside:
                yield beside
            return
    raise LookupError(port)


def leads_to(port: int, descriptor: int) -> bool:
    with suppress(OSError):  # no socket, or not connected
        sock = socket.socket(fileno=descriptor)
        try:
            return bool(sock.getpeername()[1:2] == (port,))
        finally:
            sock.detach()
    return False


@contextmanager
def no_look_at_the_socket() -> Iterator[None]:
    """A FIN that comes just after the look at the socket is one that the look did not see."""
    with pytest.MonkeyPatch.context() as blind:
        blind.setattr(BackendConnection, "usable", lambda connection: not connection.closed)
        yield


async def warm(client: Http11Client, backend: Backend) -> None:
    for _ in range(3):
        assert await exchange(client, backend) == b"ok"
    assert backend.accepted == 1


def read_then_reset(peer: Peer) -> None:
    peer.request()
    peer.reset()


def read_a_part_then_close(peer: Peer) -> None:
    peer.head_only()
    peer.close()  # a reset, because the rest is unread


def read_then_close(peer: Peer) -> None:
    peer.request()
    peer.close()


def close_without_reading(peer: Peer) -> None:
    peer.unread()
    peer.close()
