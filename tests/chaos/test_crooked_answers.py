"""Bytes that no model server should send, through a real worker: each ends in the truth, and nothing of it is shown."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.crooked import CHUNKED, DONE, END, Call, Crooked, Script, chunk, good, sized
from tests.support.gateway import Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "count"}], "max_tokens": 40}
SECRET = "half-of-what-was-never-whole"
LARGE = 3_000_000
"""Bytes of a prompt: more than the kernel takes for a server that does not read."""

RESETS = 10
"""Where in the write of the body each comes is chance; `upstream/test_retry.py` has them where it matters."""


@pytest.fixture(scope="module")
def crooked() -> Iterator[Crooked]:
    with Crooked(receive_buffer=4096) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(crooked: Crooked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {
        "CHAT_BACKENDS": crooked.url,
        "MAX_RPS_PER_IP": 10_000,
        "RPS_BURST": 10_000,
        "CIRCUIT_FAILURE_THRESHOLD": 1_000_000,
        "MAX_REQUEST_BODY_BYTES": 2 * LARGE,
    }
    with Gateway(tmp_path_factory.mktemp("gateway"), **settings) as gateway:
        wait_until(gateway.well)
        yield gateway


@pytest.fixture(autouse=True)
def _well_afterwards(gateway: Gateway, crooked: Crooked) -> Iterator[None]:
    """After each case nothing is held, each request has its record, and the next one gets its own answer."""
    crooked.calls.clear()
    while not crooked.came.empty():
        crooked.came.get()
    yield
    wait_until(gateway.idle)
    crooked.script = good
    with gateway.client() as client:
        for text in ("whole", "streamed"):
            answer = client.post(PATH, json={**BODY, "stream": text == "streamed"})
            assert answer.status_code == 200
            assert "well" in answer.text
            assert answer.headers["x-request-id"] in answer.text
    asked = [call.request_id for call in crooked.calls]
    assert len(set(asked)) == len(asked), "a request was sent twice"
    for request_id in asked:
        gateway.access_line(request_id)
    wait_until(lambda: gateway.report()["backends"][0]["in_flight"] == 0)
    assert SECRET not in gateway.log_text()


def stream_of(gateway: Gateway) -> bytes:
    """All that a streamed request receives until its connection ends."""
    with RawClient(gateway.port) as client:
        return client.post(PATH, {**BODY, "stream": True}, headers="Connection: close\r\n").rest()


def with_half_a_chunk(call: Call) -> None:
    """Two events, and the beginning of a chunk with the beginning of a third."""
    call.body()
    call.say(CHUNKED, chunk(call.event("one")), chunk(call.event("two")))
    call.say(b"400\r\n" + call.event(SECRET)[:-40])


def reset_in_a_chunk(call: Call) -> None:
    with_half_a_chunk(call)
    call.reset()


def closed_in_a_chunk(call: Call) -> None:
    with_half_a_chunk(call)
    call.sock.close()


def half_closed_in_a_chunk(call: Call) -> None:
    with_half_a_chunk(call)
    call.sock.shutdown(socket.SHUT_WR)
    call.until_left()


def broken_length_of_a_chunk(call: Call) -> None:
    with_half_a_chunk(call)
    call.say(b"\n\n" + b"-" * 1024 + b"\r\nNOT HEX\r\n")
    call.until_left()


@pytest.mark.parametrize(
    "script", [reset_in_a_chunk, closed_in_a_chunk, half_closed_in_a_chunk, broken_length_of_a_chunk]
)
def test_a_stream_that_ends_inside_a_chunk_ends_with_an_error_and_shows_nothing_of_the_half(
    gateway: Gateway, crooked: Crooked, script: Script
) -> None:
    crooked.script = script
    received = stream_of(gateway)
    (call,) = crooked.calls
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert [received.count(word) for word in (b'"one"', b'"two"', b'data: {"error":', b"[DONE]")] == [1, 1, 1, 0]
    assert SECRET.encode() not in received
    assert not received.endswith(END)
    line = gateway.access_line(call.request_id)
    assert (line["status"], line["outcome"] in {"stream_broken", "bad_gateway"}) == (200, True)
    if script is half_closed_in_a_chunk:
        assert call.left.wait(2), "the gateway kept its half of the connection"


@pytest.mark.parametrize("script", [reset_in_a_chunk, closed_in_a_chunk, half_closed_in_a_chunk])
def test_a_whole_answer_that_ends_inside_a_chunk_is_502(gateway: Gateway, crooked: Crooked, script: Script) -> None:
    crooked.script = script
    with gateway.client() as client:
        answer = client.post(PATH, json=BODY)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "false")
    assert SECRET not in answer.text
    assert len(crooked.calls) == 1


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </secret>; rel=preload\r\n\r\n"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_interim_answers_are_passed_over(gateway: Gateway, crooked: Crooked, *, streamed: bool) -> None:
    def hints(call: Call) -> None:
        call.say(INTERIM)
        call.body()
        call.say(INTERIM * 3)
        good(call)

    crooked.script = hints
    with RawClient(gateway.port) as client:
        received = client.post(PATH, {**BODY, "stream": streamed}, headers="Connection: close\r\n").rest()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"secret" not in received
    assert b"well" in received
    assert (b"[DONE]" in received) is streamed


def switching(call: Call) -> None:
    call.body()
    call.say(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n" + SECRET.encode())
    call.until_left()


def interim_for_ever(call: Call) -> None:
    call.body()
    while True:
        call.say(b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n" * 100)


def two_lengths(call: Call) -> None:
    call.body()
    body = call.whole(SECRET)
    call.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-length: 5\r\n\r\n" % len(body) + body)
    call.until_left()


def length_beside_chunks(call: Call) -> None:
    call.body()
    body = chunk(call.whole(SECRET)) + END
    call.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ntransfer-encoding: chunked\r\n\r\n" % len(body) + body)
    call.until_left()


def no_http(call: Call) -> None:
    call.body()
    call.say(b"+PONG " + SECRET.encode() + b"\r\n\r\n")
    call.until_left()


def a_fin_instead_of_an_answer(call: Call) -> None:
    call.body()
    call.sock.shutdown(socket.SHUT_WR)
    call.until_left()


@pytest.mark.parametrize(
    "script", [switching, interim_for_ever, two_lengths, length_beside_chunks, no_http, a_fin_instead_of_an_answer]
)
def test_what_is_no_answer_is_502_and_its_connection_is_closed(
    gateway: Gateway, crooked: Crooked, script: Script
) -> None:
    crooked.script = script
    with gateway.client() as client:
        answer = client.post(PATH, json=BODY)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "false")
    assert SECRET not in answer.text
    assert len(crooked.calls) == 1


TRAILERS = b"0\r\nx-leak: " + SECRET.encode() + b"\r\ncontent-length: 7\r\ntransfer-encoding: chunked\r\n\r\n"


def test_trailers_go_nowhere_and_frame_nothing(gateway: Gateway, crooked: Crooked) -> None:
    def trailing(call: Call) -> None:
        call.body()
        call.say(CHUNKED, chunk(call.event("one")), chunk(call.event(finish=True)), chunk(DONE), TRAILERS)

    crooked.script = trailing
    for _ in range(3):  # on one connection, if it is kept
        received = stream_of(gateway)
        assert received.count(b"[DONE]") == 1
        assert received.endswith(END)
        assert SECRET.encode() not in received
        assert gateway.access_line(crooked.calls[-1].request_id)["outcome"] == "ok"


REFUSAL = sized(
    b'{"error":{"message":"too long","type":"BadRequestError","param":null,"code":400}}', b"400 Bad Request"
)


def refuses_and_reads_on(call: Call) -> None:
    call.say(REFUSAL)
    call.body()


def refuses_and_leaves(call: Call) -> None:
    """What it has not read makes its end a reset, which may overtake the answer."""
    call.say(REFUSAL)
    call.sock.close()


@pytest.mark.parametrize(("script", "statuses"), [(refuses_and_reads_on, {400}), (refuses_and_leaves, {400, 502})])
def test_an_answer_before_the_body_was_read_is_that_requests_alone_and_nothing_is_sent_again(
    gateway: Gateway, crooked: Crooked, script: Script, statuses: set[int]
) -> None:
    crooked.script = script
    messages = [{"role": "user", "content": "x" * LARGE}]
    with gateway.client() as client:
        answer = client.post(PATH, json={**BODY, "messages": messages})
    assert answer.status_code in statuses
    assert answer.status_code == 502 or answer.json()["error"]["message"] == "too long"
    assert len(crooked.calls) == 1


def test_a_reset_before_the_body_was_read_is_502_and_is_not_sent_again(gateway: Gateway, crooked: Crooked) -> None:
    """On kept connections, which alone are replaced when they die."""
    large = {**BODY, "messages": [{"role": "user", "content": "x" * LARGE}]}
    with gateway.client() as client:
        for _ in range(RESETS):
            crooked.script = good
            assert client.post(PATH, json=BODY).status_code == 200
            crooked.script = Call.reset
            answer = client.post(PATH, json=large)
            assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "false")
    assert len(crooked.calls) == 2 * RESETS


@pytest.mark.parametrize("cut", [0, 30], ids=["whole", "cut short"])
def test_an_answer_that_ends_with_its_connection_is_believed_where_it_is_whole_json(
    gateway: Gateway, crooked: Crooked, cut: int
) -> None:
    def until_closed(call: Call) -> None:
        call.body()
        body = call.whole(SECRET if cut else "well")
        call.say(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + body[: len(body) - cut])
        call.sock.close()

    crooked.script = until_closed
    with gateway.client() as client:
        answer = client.post(PATH, json=BODY)
    assert answer.status_code == (502 if cut else 200)
    assert SECRET not in answer.text


def test_more_than_the_stated_length_reaches_nobody(gateway: Gateway, crooked: Crooked) -> None:
    def talks_on(call: Call) -> None:
        call.body()
        call.say(call.answer("first") + sized(b'{"choices":"' + SECRET.encode() + b'"}'))

    crooked.script = talks_on
    with gateway.client() as client:
        for _ in range(10):
            answer = client.post(PATH, json=BODY)
            assert (answer.status_code, answer.headers["x-request-id"] in answer.text) == (200, True)
            assert SECRET not in answer.text
