"""What no application ever saw is counted and logged too: one line and one count, under the id that the client got."""

import re

import pytest

from tests.support.gateway import KEY, Gateway, RawClient, wait_until

HOST = b"Host: gateway\r\n"
BROKEN_CHUNKS = (
    b"POST /v1/chat/completions HTTP/1.1\r\n"
    + HOST
    + f"Authorization: Bearer {KEY}\r\n".encode()
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{  \r\nzz\r\n"
)


@pytest.mark.parametrize(
    ("data", "status", "outcome", "path"),
    [
        (b"no HTTP at all\r\n\r\n", 400, "invalid_request", ""),
        (b"GET /v1/models HTTP/1.1\r\n\r\n", 400, "invalid_request", "/v1/models"),
        (b"GET /big HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000, 431, "headers_too_large", "/big"),
        (BROKEN_CHUNKS, 400, "invalid_request", "/v1/chat/completions"),
    ],
    ids=["no HTTP", "a bad head", "a large head", "broken chunks"],
)
def test_every_refusal_is_one_line_and_one_count(
    chat: Gateway, data: bytes, status: int, outcome: str, path: str
) -> None:
    def count() -> float:
        return sum(
            value
            for name, value in chat.metrics().items()
            if name.startswith("gateway_requests_total{") and f'status="{status}"' in name and outcome in name
        )

    before = count()
    with RawClient(chat.port) as client:
        answer = client.send(data).rest()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    told = re.search(rb"x-request-id: (\S+)\r\n", answer)
    assert told is not None
    line = chat.access_line(told[1].decode())
    assert (line["status"], line["outcome"], line["path"], line["client"]) == (status, outcome, path, "127.0.0.1")
    assert line["disconnect_phase"] is None
    wait_until(lambda: count() == before + 1)
