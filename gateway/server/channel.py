"""What do supervisor and worker say to each other? One socket pair per worker, a few lines each way."""

import pickle
import socket
import struct
from dataclasses import dataclass
from typing import Any

LENGTH = struct.Struct("!I")
READY = b"ready\n"
FAILED = b"failed "


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is told at its birth.

    Attributes:
        factory: `module:callable`, called as `factory(settings, identity)` for the ASGI application.
        settings: the supervisor's own, so that a worker started later cannot differ from its siblings.
        index: the worker's number, from 0.
        workers: how many there are.
        request_ids: what the ids of its requests begin with; no other worker ever had it.
        page: the inherited descriptor of the page that the worker's metrics are counted in.
    """

    factory: str
    settings: Any
    index: int
    workers: int
    request_ids: str
    page: int | None = None


def send_assignment(channel: socket.socket, assignment: Assignment) -> None:
    """Write an assignment; a few kilobytes, which the socket's buffer takes at once."""
    data = pickle.dumps(assignment)
    channel.sendall(LENGTH.pack(len(data)) + data)


def receive_assignment(channel: socket.socket) -> Assignment:
    """Read the assignment, blocking.

    Raises:
        EOFError: the supervisor has gone.
    """
    (length,) = LENGTH.unpack(_read_exactly(channel, LENGTH.size))
    assignment = pickle.loads(_read_exactly(channel, length))  # noqa: S301 -- our parent wrote it on a private socket
    assert isinstance(assignment, Assignment)  # noqa: S101 -- for mypy
    return assignment


def report_ready(channel: socket.socket) -> None:
    """The worker accepts connections."""
    channel.sendall(READY)


def report_failure(channel: socket.socket, message: str) -> None:
    """The worker cannot start; `message` is for the operator."""
    channel.sendall(FAILED + " ".join(message.splitlines()).encode() + b"\n")


def _read_exactly(channel: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = channel.recv(length - len(data))
        if not part:
            raise EOFError("the supervisor has gone")
        data += part
    return data
