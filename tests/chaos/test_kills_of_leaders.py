"""kill -9 of the worker whose request runs for others, in mid-body: they get whole answers, and nobody gets half."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import orjson
import pytest

from gateway.core.sockets import unacknowledged
from tests.chaos.crooked import PATIENCE_SECS, Call, Crooked
from tests.e2e.test_cache import clients_of, state
from tests.e2e.test_workers import serving
from tests.support.gateway import Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "count"}], "temperature": 0}
FOLLOWERS = 8
KEPT, PASSED = 100_000, 4_000_000
"""Bytes of an answer that is held back until those who wait have it, and of one that is too long for that."""


@pytest.fixture
def crooked() -> Iterator[Crooked]:
    with Crooked() as server:
        yield server


@pytest.fixture
def gateway(crooked: Crooked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {"CHAT_BACKENDS": crooked.url, "GATEWAY_WORKERS": 3, "CACHE_TTL_SECS": 3600}
    with Gateway(tmp_path_factory.mktemp("gateway"), **settings) as gateway:
        wait_until(gateway.well)
        yield gateway


class Halves:
    """The first request gets the first half of its answer when it is told to, and no more; the others get all.

    Attributes:
        size: of the answers' text.
        begin: when set, the half is sent.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.begin = threading.Event()
        self._first = threading.Lock()

    def __call__(self, call: Call) -> None:
        call.body()
        answer = call.answer("x" * self.size)
        if self._first.acquire(blocking=False):
            assert self.begin.wait(PATIENCE_SECS)
            call.say(answer[: len(answer) // 2])
            call.until_left()
        else:
            call.say(answer)


def unread(port: int) -> int:
    """Bytes that lie unread at the kernel's end of the connections to a port."""
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123 -- procfs
        rows = [line.split() for line in list(table)[1:]]
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[2].endswith(f":{port:04X}"))


def text_of(client: RawClient) -> tuple[str, str]:
    """What `x-gateway-cache` says, and the text of a whole answer."""
    head, _, body = client.rest().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    return state(head), orjson.loads(body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("size", [KEPT, PASSED], ids=["that is held back", "that goes on as it comes"])
def test_a_leader_killed_in_the_midst_of_an_answer_leaves_half_of_it_to_nobody(
    gateway: Gateway, crooked: Crooked, size: int
) -> None:
    crooked.script = halves = Halves(size)
    with ExitStack() as stack:

        def ask() -> RawClient:
            return stack.enter_context(RawClient(gateway.port)).post(PATH, BODY, headers="Connection: close\r\n")

        leader = ask()
        first = crooked.next_call()
        victim = serving(gateway, leader)
        os.kill(victim, signal.SIGSTOP)  # of this test's own gateway: those who come now are other workers'
        followers = [ask() for _ in range(FOLLOWERS)]
        wait_until(lambda: clients_of(gateway) == 1 + FOLLOWERS)
        os.kill(victim, signal.SIGCONT)
        halves.begin.set()
        if size == KEPT:
            wait_until(lambda: unacknowledged(first.sock) == 0 and unread(crooked.port) == 0)
        else:
            leader.until(b"x" * 1000)
        os.kill(victim, signal.SIGKILL)
        received = leader.rest()
        answers = [text_of(follower) for follower in followers]
    assert {text for _, text in answers} == {"x" * size}
    if size == KEPT:
        assert received == b""
        words = [word for word, _ in answers]
        assert words.count("miss") == 1
        assert "coalesced" in words
        assert len(crooked.calls) == 2
    else:
        assert int(received.split(b"content-length: ")[1].split(b"\r\n")[0]) > size > len(received)
        assert {word for word, _ in answers} == {"miss"}
        assert len(crooked.calls) == 1 + FOLLOWERS
    wait_until(gateway.idle)
