"""A model server whose every answer a test writes by hand, byte by byte; probes it answers as a good one does."""

import contextlib
import queue
import re
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import orjson

from gateway.core.sockets import reset_on_close

PATIENCE_SECS = 20.0
"""How long a script waits for anything; a test that gets there has failed."""
MODELS = orjson.dumps({"object": "list", "data": [{"id": "qwen", "object": "model", "max_model_len": 8192}]})
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


class ClientLeft(Exception):  # noqa: N818 -- no error: the end of a script
    """The gateway closed or reset the connection."""


class Call:
    """One POST whose head has come, and the connection on which a script answers it.

    Attributes:
        sock: the connection.
        request_id: as the gateway says it.
        size: of the body, which nobody has read yet, in bytes.
        left: set when a script has seen the gateway go.
    """

    def __init__(self, sock: socket.socket, head: bytes, behind: bytes) -> None:
        self.sock = sock
        self.request_id = _field(head, b"x-request-id").decode()
        self.size = int(_field(head, b"content-length") or b"0")
        self.left = threading.Event()
        self._behind = behind

    def body(self) -> bytes:
        """All of it, read now."""
        while missing := self.size - len(self._behind):
            self._behind += _received(self.sock, missing)  # and nothing of the next request
        return self._behind

    def say(self, *pieces: bytes) -> None:
        """Send each piece by a call of its own."""
        for piece in pieces:
            try:
                self.sock.sendall(piece)
            except OSError as error:
                raise ClientLeft from error

    def reset(self) -> None:
        """End the connection with a RST."""
        reset_on_close(self.sock)
        self.sock.close()

    def until_left(self) -> None:
        """Wait until the gateway closes its end, and note it."""
        with contextlib.suppress(ClientLeft):
            while True:
                _received(self.sock)
        self.left.set()

    def event(self, text: str = "", *, finish: bool = False) -> bytes:
        """An event of a chat stream with one token."""
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop" if finish else None}
        fields = {"id": f"chatcmpl-{self.request_id}", "object": "chat.completion.chunk", "created": 1}
        return b"data: " + orjson.dumps({**fields, "model": "qwen", "choices": [choice]}) + b"\n\n"

    def whole(self, text: str = "well") -> bytes:
        """The body of a whole answer."""
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
        fields = {"id": f"chatcmpl-{self.request_id}", "object": "chat.completion", "created": 1}
        return orjson.dumps({**fields, "model": "qwen", "choices": [choice], "usage": usage})

    def answer(self, text: str = "well") -> bytes:
        """The same with its head."""
        return sized(self.whole(text))


Script = Callable[[Call], None]
"""Answers one POST; when it returns, the connection carries the next request."""


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def sized(body: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole answer of JSON."""
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


def good(call: Call) -> None:
    """Answers as a good server does, streamed where that is asked for."""
    if b'"stream":true' not in call.body().replace(b" ", b""):
        call.say(call.answer())
        return
    call.say(CHUNKED, chunk(call.event("well")), chunk(call.event(finish=True)), chunk(DONE), END)


class Crooked:
    """Listens on a port of the kernel's choice; `script` answers every POST from now on.

    Attributes:
        port, url: where it listens.
        calls: the POSTs that have come, oldest first.
    """

    def __init__(self, *, receive_buffer: int = 0) -> None:
        self._listener = socket.socket()
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.script: Script = good
        self.calls: list[Call] = []
        self.came: queue.Queue[Call] = queue.Queue()
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def next_call(self) -> Call:
        """The next POST; waits for it."""
        return self.came.get(timeout=PATIENCE_SECS)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE_SECS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(ClientLeft, OSError):
            while True:
                self._answer(sock)
        sock.close()

    def _answer(self, sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _received(sock)
        head, _, behind = data.partition(b"\r\n\r\n")
        if head.startswith(b"POST "):
            call = Call(sock, head, behind)
            self.calls.append(call)
            self.came.put(call)
            self.script(call)
        elif b" /v1/models " in head:
            sock.sendall(sized(MODELS))
        else:
            sock.sendall(sized(b"") if b" /health " in head else sized(b"", b"404 Not Found"))


def _field(head: bytes, name: bytes) -> bytes:
    found = re.search(rb"\r\n%b: *([^\r]*)" % name, head, re.IGNORECASE)
    return found[1] if found else b""


def _received(sock: socket.socket, most: int = 65_536) -> bytes:
    try:
        data = sock.recv(most)
    except OSError as error:
        raise ClientLeft from error
    if not data:
        raise ClientLeft
    return data
