"""What does a single client see? Whether it is let in, and when its departure is noticed at the far end."""

import http.client
import socket
import time

import orjson

from bench.peers import KEY, MODEL
from bench.processes import poll
from bench.windows import CHAT_PATH, Target, settle

PATIENCE_SECS = 5.0
NOTICED_WITHIN_SECS = 5.0
EVENTS_BEFORE_LEAVING = 5
SILENCE_SECS = 0.3
"""How long a client that is not streamed to waits before it leaves."""


def ask(port: int, key: str = KEY, *, path: str = CHAT_PATH, body: bytes = b"") -> int:
    """The status of one answer; 0: there was none. Without a body it is a short question."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECS)
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    try:
        connection.request("POST", path, body or _body(stream=False), headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    else:
        return answer.status
    finally:
        connection.close()


def departure_ms(target: Target, *, stream: bool) -> float | None:
    """Milliseconds from a client's close to the close that the mock sees; None: it was not noticed in time."""
    if stream:
        target.mock.set(events=500, delay_ms=20)
    else:
        target.mock.set(first_ms=3000)
    settle(target)
    before = target.mock.stats()
    with socket.create_connection(("127.0.0.1", target.port), timeout=PATIENCE_SECS) as client:
        client.sendall(_request(stream=stream))
        if stream:
            _read_events(client)
        else:
            time.sleep(SILENCE_SECS)
        left_ns = time.monotonic_ns()
    try:
        for _ in poll(NOTICED_WITHIN_SECS, pause=0.02):
            now = target.mock.stats()
            if now["aborted"] > before["aborted"]:
                return float(now["last_abort_ns"] - left_ns) / 1e6
            if now["done"] > before["done"]:
                return None
        return None
    finally:
        target.mock.set()


def _read_events(client: socket.socket) -> None:
    received = b""
    while received.count(b"data:") < EVENTS_BEFORE_LEAVING:
        data = client.recv(65536)
        if not data:
            raise ConnectionError("the stream ended before its fifth event")
        received += data


def _request(*, stream: bool) -> bytes:
    body = _body(stream=stream)
    head = (
        f"POST {CHAT_PATH} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _body(*, stream: bool) -> bytes:
    messages = [{"role": "user", "content": "hi"}]
    return orjson.dumps({"model": MODEL, "messages": messages, "max_tokens": 64, "stream": stream})
