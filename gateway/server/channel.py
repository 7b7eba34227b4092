"""What do supervisor and children say to each other? One socket pair per child, a few lines each way."""

import contextlib
import pickle
import socket
import struct
from dataclasses import dataclass, replace
from typing import Any

LENGTH = struct.Struct("!I")
MAX_DESCRIPTORS = 4
READY = b"ready\n"
FAILED = b"failed "
CONTROL_FOLDER = "control"
"""Of LIMITER_PATH: where control processes have their socket, and the lock of the one that is on duty."""
RETIRE = b"retire\n"
"""The one word that a worker hears after its assignment."""
FAREWELL_SECS = 3.0
"""How long cut requests may take to say why; then their sockets are closed."""
END_SECS = 10.0
"""How long a control process may take to write down what it has; then it is killed, and the next one goes on there."""
KILL_MARGIN_SECS = 5.0
"""How long a worker may outlive the end of its own farewells before it is killed."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is told at its birth.

    Attributes:
        factory: `module:callable`, called as `factory(settings, identity)` for the ASGI application.
        settings: its generation's, so that a worker started later cannot differ from its siblings; see `core.carried`.
        index: the worker's number, from 0.
        workers: how many there are.
        request_ids: what the ids of its requests begin with; no other worker ever had it.
        row: the worker's row of the board.
        page: the descriptor of the page that the worker's metrics are counted in, in whichever process holds this.
        pulse: likewise, of the memory where its loop says that it turns.
        board: likewise, of the page on which all say what they know of the backends; None: there is none.
        control: path of the control process's socket; empty: there is none.
    """

    factory: str
    settings: Any
    index: int
    workers: int
    request_ids: str
    row: int
    page: int
    pulse: int
    board: int | None = None
    control: str = ""


@dataclass(frozen=True, slots=True)
class ControlAssignment:
    """What a control process is told at its birth.

    Attributes:
        settings: its generation's.
        socket: path of the unix socket that it answers on.
        page: the descriptor of the page for its figures, in whichever process holds this.
        pulse: likewise, of the memory where its loop says that it turns.
        board: likewise, of its generation's board; None: there is none.
    """

    settings: Any
    socket: str
    page: int
    pulse: int
    board: int | None = None


def farewell_secs(drain_secs: float) -> float:
    """How long a worker may take from SIGTERM, or its supervisor's death, to its end."""
    return drain_secs + 2 * FAREWELL_SECS + KILL_MARGIN_SECS


def send_assignment(channel: socket.socket, assignment: Assignment, listener: socket.socket) -> None:
    """Write an assignment with its descriptors; a few kilobytes, which the socket's buffer takes at once."""
    board = [] if assignment.board is None else [assignment.board]
    _send(channel, assignment, [listener.fileno(), assignment.page, assignment.pulse, *board])


def send_control_assignment(channel: socket.socket, assignment: ControlAssignment) -> None:
    """Write a control process's assignment, likewise."""
    board = [] if assignment.board is None else [assignment.board]
    _send(channel, assignment, [assignment.page, assignment.pulse, *board])


def receive_assignment(channel: socket.socket) -> tuple[Assignment, socket.socket]:
    """Read the assignment, blocking, and the socket to listen on.

    Raises:
        EOFError: the supervisor has gone, or needs no worker after all.
    """
    assignment, descriptors = _receive(channel)
    assert isinstance(assignment, Assignment)  # noqa: S101 -- for mypy
    listener, page, pulse, *board = descriptors
    mine = replace(assignment, page=page, pulse=pulse, board=board[0] if board else None)
    return mine, socket.socket(fileno=listener)


def receive_control_assignment(channel: socket.socket) -> ControlAssignment:
    """Read a control process's assignment, blocking.

    Raises:
        EOFError: the supervisor has gone.
    """
    assignment, descriptors = _receive(channel)
    assert isinstance(assignment, ControlAssignment)  # noqa: S101 -- for mypy
    page, pulse, *board = descriptors
    return replace(assignment, page=page, pulse=pulse, board=board[0] if board else None)


def report_ready(channel: socket.socket) -> None:
    """The worker accepts connections."""
    _say(channel, READY)


def report_failure(channel: socket.socket, message: str) -> None:
    """The worker cannot start; `message` is for the operator."""
    _say(channel, FAILED + " ".join(message.splitlines()).encode() + b"\n")


def _send(channel: socket.socket, assignment: object, descriptors: list[int]) -> None:
    data = pickle.dumps(assignment)
    socket.send_fds(channel, [LENGTH.pack(len(data))], descriptors)
    channel.sendall(data)


def _receive(channel: socket.socket) -> tuple[object, list[int]]:
    head, descriptors, _, _ = socket.recv_fds(channel, LENGTH.size, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not descriptors:
        raise EOFError("the supervisor has gone")
    (length,) = LENGTH.unpack(head + _read_exactly(channel, LENGTH.size - len(head)))
    assignment = pickle.loads(_read_exactly(channel, length))  # noqa: S301 -- our parent wrote it on a private socket
    return assignment, descriptors


def _say(channel: socket.socket, words: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # the supervisor has gone, which is heard where its words are read
        channel.sendall(words)


def _read_exactly(channel: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = channel.recv(length - len(data))
        if not part:
            raise EOFError("the supervisor has gone")
        data += part
    return data
