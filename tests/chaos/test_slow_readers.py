"""Clients that take a byte now and then of much, through a real worker: what is held for one, and how it ends."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.chaos.crooked import CHUNKED, DONE, END, Call, Crooked, chunk
from tests.support.gateway import Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "count"}]}
CAP_SECS = 2
"""Of CLIENT_WRITE_TIMEOUT_SECS."""
HELD_BYTES = 256 * 1024
"""What the worker holds for a client, and its kernel towards that client."""
UNREAD_BYTES = 320 * 1024
"""What its kernel goes on taking in from the backend (record 49)."""
LISTENING = "0A"
LARGE = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def crooked() -> Iterator[Crooked]:
    with Crooked() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(crooked: Crooked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {"CHAT_BACKENDS": crooked.url, "CLIENT_WRITE_TIMEOUT_SECS": CAP_SECS}
    with Gateway(tmp_path_factory.mktemp("gateway"), **settings) as gateway:
        wait_until(gateway.well)
        yield gateway


class Flood:
    """A stream without an end, an event at a time, until it is not taken any more.

    Attributes:
        sent: bytes that the backend's kernel took.
    """

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, call: Call) -> None:
        call.body()
        call.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        event = chunk(call.event("x" * 1000))
        call.say(CHUNKED)
        while True:
            call.say(event)
            self.sent += len(event)
            time.sleep(0.001)  # as tokens come: all at once would be up to 256 KB in one receive of the worker's


class Queues(NamedTuple):
    """Bytes in the kernel on the connections with one port: on that port's side and on the other."""

    sent_there: int
    unread_there: int
    sent_here: int
    unread_here: int

    @classmethod
    def of(cls, port: int) -> "Queues":
        """As the kernel counts them now."""
        total = [0, 0, 0, 0]
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
            _, local, remote, state, queues, *_ = line.split()
            for side, address in ((0, local), (2, remote)):
                if address.endswith(f":{port:04X}") and state != LISTENING:
                    sent, unread = queues.split(":")
                    total[side] += int(sent, 16)
                    total[side + 1] += int(unread, 16)
        return cls(*total)


def posts(gateway: Gateway) -> list[dict[str, Any]]:
    return [line for line in gateway.access_lines() if line["method"] == "POST"]


def test_little_is_held_for_a_client_that_takes_a_byte_now_and_then_and_it_is_cut_as_a_slow_one(
    gateway: Gateway, crooked: Crooked
) -> None:
    """That much is what we wrote to it: what lies in the kernel of its own machine is not ours."""
    crooked.script = flood = Flood()
    held, unread, taken = [0], [0], 0
    before = len(posts(gateway))
    with RawClient(gateway.port, receive_buffer=4096) as client:
        client.post(PATH, {**BODY, "stream": True})
        while len(posts(gateway)) == before:
            time.sleep(0.1)  # its pace is the case
            sent, clients, backends = flood.sent, Queues.of(gateway.port), Queues.of(crooked.port)
            if clients.unread_here and backends.unread_here:  # not cut yet, and the worker has stopped reading
                taken += len(client.socket.recv(1))
                unread.append(backends.unread_here)
                held.append(sent - backends.sent_there - backends.unread_here - clients.unread_here - taken)
    line = posts(gateway)[before]
    assert (line["outcome"], line["disconnect_phase"]) == ("slow_client", None)
    assert taken > 1
    assert 64 * 1024 < max(held) <= HELD_BYTES
    assert max(unread) <= UNREAD_BYTES
    wait_until(gateway.idle)


@pytest.mark.parametrize("size", [LARGE // 10, LARGE], ids=["that is sent at once", "that goes on in pieces"])
def test_a_client_that_takes_nothing_of_a_whole_answer_is_cut_as_a_slow_one(
    gateway: Gateway, crooked: Crooked, size: int
) -> None:
    def answers(call: Call) -> None:
        call.body()
        call.say(call.answer("x" * size))

    before = len(posts(gateway))
    crooked.script = answers
    with RawClient(gateway.port, receive_buffer=4096) as client:
        client.post(PATH, BODY)
        line = wait_until(lambda: posts(gateway)[before:])[0]
        assert (line["outcome"], line["disconnect_phase"]) == ("slow_client", None)
        assert len(client.rest()) < size
    wait_until(gateway.idle)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_client_that_takes_a_little_all_the_time_gets_all_of_its_answer(
    gateway: Gateway, crooked: Crooked, *, streamed: bool
) -> None:
    """Though it is so little that our kernel, which holds 150 KB for it, asks for nothing more meanwhile."""

    def answers(call: Call) -> None:
        call.body()
        if streamed:
            events = (chunk(call.event("x" * 1000)) for _ in range(1000))
            call.say(CHUNKED, *events, chunk(call.event(finish=True)), chunk(DONE), END)
        else:
            call.say(call.answer("x" * (LARGE // 10)))

    before = len(posts(gateway))
    crooked.script = answers
    with RawClient(gateway.port, receive_buffer=4096) as client:
        client.post(PATH, {**BODY, "stream": streamed}, headers="Connection: close\r\n")
        end = time.monotonic() + 2.5 * CAP_SECS
        while time.monotonic() < end:
            client.received += client.socket.recv(512)
            time.sleep(0.05)  # its pace is the case
        assert client.rest().count(b"x" * 1000) >= LARGE // 10 // 1000
    line = wait_until(lambda: posts(gateway)[before:])[0]
    assert (line["outcome"], line["disconnect_phase"]) == ("ok", None)
    wait_until(gateway.idle)
