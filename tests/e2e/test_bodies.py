"""Bodies that are too many at a time or too slow in all are refused; whoever behaves is served."""

import orjson

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import KEY, RawClient, wait_until

MEBIBYTE = 1024 * 1024
PATH = "/v1/chat/completions"


def head(length: int) -> bytes:
    fields = f"Host: gateway\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json"
    return f"POST {PATH} HTTP/1.1\r\n{fields}\r\nContent-Length: {length}\r\n\r\n".encode()


def whole(length: int, **fields: object) -> bytes:
    """A request whose body has that many bytes, blanks behind its JSON among them."""
    body = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1, **fields}
    return head(length) + orjson.dumps(body).ljust(length)


def test_the_body_beyond_what_a_worker_holds_is_503_and_smaller_ones_are_served(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, MAX_REQUEST_BODY_BYTES=MEBIBYTE, MAX_HELD_BODY_BYTES=MEBIBYTE)
    for name in ("chat0", "chat1"):
        chat_fleet[name].set_pace(token_ms=20)
    with RawClient(gateway.port) as first, RawClient(gateway.port) as second, RawClient(gateway.port) as third:
        first.send(whole(900_000, stream=True, max_tokens=3000, ignore_eos=True)).until(b"data: ")
        answer = second.send(whole(200_000)).rest()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        assert b" 200 OK" in third.send(whole(1000)).until(b"\r\n\r\n")
    told = answer.split(b"x-request-id: ")[1].split(b"\r\n")[0].decode()
    assert gateway.access_line(told)["outcome"] == "too_many_bodies"
    wait_until(gateway.idle)
    with RawClient(gateway.port) as again:
        assert b" 200 OK" in again.send(whole(MEBIBYTE)).until(b"\r\n\r\n")


def test_a_body_that_drips_is_408_when_its_whole_time_is_over(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, CLIENT_BODY_TOTAL_SECS=0.5)
    with RawClient(gateway.port) as client:
        client.send(head(1000))
        for _ in range(999):
            client.send(b" ")
            if client.readable(0.02):
                break
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 408 ")
    wait_until(gateway.idle)
