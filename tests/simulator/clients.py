"""How do these tests ask? Bodies that run long enough, and a client that sees the wire."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from tests.support.simulators import Simulator

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "How do rate limits work in a gateway?"}]


def body(**fields: Any) -> dict[str, Any]:
    """A chat body."""
    return {"model": "qwen", "messages": QUESTION, **fields}


def endless(**fields: Any) -> dict[str, Any]:
    """A chat body whose answer goes on to the end of the context."""
    return body(ignore_eos=True, **fields)


def post(simulator: Simulator, content: dict[str, Any], path: str = CHAT, **headers: str) -> httpx.Response:
    """One request with the key, on a connection of its own."""
    sent = {**simulator.headers, **headers}
    return httpx.post(f"{simulator.url}{path}", json=content, headers=sent, timeout=20, trust_env=False)


def events(answer: httpx.Response) -> list[Any]:
    """The data of a stream's events; `[DONE]` stays a string."""
    found = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]
    return [item if item == "[DONE]" else orjson.loads(item) for item in found]


def raw_request(simulator: Simulator, content: dict[str, Any], path: str = CHAT) -> bytes:
    """A request's bytes."""
    data = orjson.dumps(content)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: vllm\r\nauthorization: {simulator.headers['authorization']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


@contextmanager
def connected(simulator: Simulator) -> Iterator[socket.socket]:
    """A raw connection that gives up after five seconds without a byte."""
    parts = urlsplit(simulator.url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=30) as connection:
        yield connection


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    """What arrives up to and with the mark, and what came along with it.

    Raises:
        EOFError: the connection ended first; its argument is what came.
    """
    found = bytearray()
    seen = 0
    while found.find(mark, max(0, seen - len(mark))) < 0:
        seen = len(found)
        data = connection.recv(65536)
        if not data:
            raise EOFError(bytes(found))
        found += data
    return bytes(found)


def read_until_silence(connection: socket.socket, seconds: float) -> bytes:
    """What arrives until nothing has come for so long.

    Raises:
        EOFError: the connection ended; its argument is what came.
    """
    connection.settimeout(seconds)
    found = b""
    while True:
        try:
            data = connection.recv(65536)
        except TimeoutError:
            return found
        if not data:
            raise EOFError(found)
        found += data


def read_until_reset(connection: socket.socket) -> bytes:
    """What arrives until RST.

    Raises:
        EOFError: FIN came instead.
    """
    found = b""
    while True:
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return found
        if not data:
            raise EOFError(found)
        found += data


def read_to_end(connection: socket.socket) -> bytes:
    """What arrives until FIN.

    Raises:
        ConnectionResetError: RST came instead.
    """
    found = b""
    while data := connection.recv(65536):
        found += data
    return found
