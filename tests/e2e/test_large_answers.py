"""An answer too large to hold: counted as it passes, and without an end where it has none."""

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.pieces import HOLD_BYTES
from tests.support.gateway import Gateway, RawClient
from tests.upstream.backend import Backend, Peer, Script, chunk

BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "count"}]}
ANSWER = b'{"id":"chatcmpl-1","choices":[{"message":{"content":"%b"},"finish_reason":"stop"}],"usage":%b}' % (
    b"x" * (2 * HOLD_BYTES),
    b'{"prompt_tokens":7,"total_tokens":16,"completion_tokens":9}',
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


PROBED = {
    b"GET /health": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"GET /v1/models": HEAD + b'content-length: 24\r\n\r\n{"data":[{"id":"qwen"}]}',
}
"""What the prober is told on one connection after the other: the backend is well."""


def tells(*pieces: bytes) -> Script:
    """Answer the prober, and the one request in these pieces; close behind each."""

    def script(peer: Peer) -> None:
        asked = peer.request()
        known = [answer for start, answer in PROBED.items() if asked.startswith(start)]
        peer.say(*(pieces if asked.startswith(b"POST") else known))

    return script


def asked(folder: Path, *pieces: bytes) -> tuple[bytes, dict[str, Any]]:
    """What a client receives of an answer in these pieces, behind which the backend closes, and its access line."""
    with (
        Backend(tells(*pieces)) as backend,
        Gateway(folder, CHAT_BACKENDS=f"http://127.0.0.1:{backend.port}") as gateway,
    ):
        with RawClient(gateway.port) as client:
            received = client.post("/v1/chat/completions", BODY, headers="Connection: close\r\n").rest()
        request_id = received.partition(b"x-request-id: ")[2].partition(b"\r\n")[0]
        return received, gateway.access_line(request_id.decode())


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ((HEAD + b"content-length: %d\r\n\r\n" % len(ANSWER), ANSWER), True),
        ((CHUNKED, chunk(ANSWER), LAST), True),
        ((HEAD + b"\r\n", ANSWER), True),
        ((HEAD + b"content-length: %d\r\n\r\n" % len(ANSWER), ANSWER[:-1]), False),
        ((CHUNKED, chunk(ANSWER)), False),
        ((HEAD + b"\r\n", ANSWER[:-1]), False),
        ((CHUNKED, chunk(ANSWER.replace(b'"stop"', b'"abort"')), LAST), False),
    ],
    ids=["length", "chunks", "until closed", "length, cut", "chunks, cut", "until closed, cut", "an abort"],
)
def test_a_large_answer_is_counted_and_ends_only_where_it_is_whole(
    tmp_path: Path, pieces: tuple[bytes, ...], *, whole: bool
) -> None:
    received, line = asked(tmp_path, *pieces)
    assert received.startswith(b"HTTP/1.1 200 OK")
    head, _, body = received.partition(b"\r\n\r\n")
    framed = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    assert (framed is not None) is (b"content-length" in pieces[0])
    assert (len(body) == int(framed[1]) if framed else body.endswith(LAST)) is whole
    assert (line["outcome"] == "ok") is whole
    assert (line["prompt_tokens"], line["completion_tokens"]) == (7, 9)
