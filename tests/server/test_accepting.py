"""How many connections a round of the loop takes, and what becomes of those that it does not take."""

import asyncio
import errno
import logging
import os
import resource
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gateway.server import accepting
from gateway.server.accepting import BATCH, Acceptor
from gateway.server.listening import listen
from tests.server.door import PATIENCE_SECS, turns

pytestmark = pytest.mark.anyio

MANY = 50
"""Rounds in which a loop that is woken again and again would have tried again and again."""


class Listener(socket.socket):
    """A listening socket that counts how often it is asked, and fails first as it is told."""

    def __init__(self) -> None:
        with listen("127.0.0.1", 0) as listener:
            super().__init__(fileno=listener.detach())
        self.settimeout(0)
        self.asked = 0
        self.failures: list[OSError] = []

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return super().accept()


class Greeter(asyncio.Protocol):
    """Says a word to whoever comes, and closes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as create_server makes
        transport.write(b"welcome")
        transport.close()


@contextmanager
def waiting(listener: socket.socket, count: int) -> Iterator[list[socket.socket]]:
    """Clients whose connections wait to be accepted."""
    with ExitStack() as open_sockets:
        yield [open_sockets.enter_context(socket.create_connection(listener.getsockname())) for _ in range(count)]


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """The process has as many as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def greeting(client: socket.socket) -> bytes:
    client.settimeout(0)
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 100), PATIENCE_SECS)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECS):
        while not condition():
            await turns(1)


async def test_a_round_takes_a_batch_and_leaves_the_rest_for_the_next_or_for_another_worker() -> None:
    made: list[int] = []
    now = 0

    def make() -> Greeter:
        made.append(now)
        return Greeter()

    with Listener() as listener, waiting(listener, 2 * BATCH + 3) as clients:
        acceptor = Acceptor(listener, make)
        async with asyncio.timeout(PATIENCE_SECS):
            while len(made) < len(clients):
                now += 1
                await turns(1)
        assert list(Counter(made).values()) == [BATCH, BATCH, 3]
        assert [await greeting(client) for client in clients] == [b"welcome"] * len(clients)
        acceptor.close()


async def test_a_worker_without_descriptors_leaves_who_waits_to_the_others_and_rests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Listener() as listener, waiting(listener, 2) as clients:
        with no_more_descriptors():
            acceptor = Acceptor(listener, Greeter)
            await until(lambda: listener.asked > 0)
            await turns(MANY)
        assert listener.asked == 1
        (event,) = caplog.records
        assert (event.message, event.levelno) == ("accepting_paused", logging.WARNING)
        assert "Too many open files" in vars(event)["why"]
        other = Acceptor(listener, Greeter)
        assert [await greeting(client) for client in clients] == [b"welcome"] * 2
        other.close()
        acceptor.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM])
async def test_after_a_rest_it_goes_on(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "PAUSE_SECS", 0)
    with Listener() as listener, waiting(listener, 1) as (client,):
        listener.failures = [OSError(number, os.strerror(number))] * 3
        acceptor = Acceptor(listener, Greeter)
        assert await greeting(client) == b"welcome"
        acceptor.close()


async def test_a_drain_that_begins_while_it_rests_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "PAUSE_SECS", 0)
    with Listener() as listener, waiting(listener, 1):
        listener.failures = [OSError(errno.EMFILE, "Too many open files")]
        acceptor = Acceptor(listener, Greeter)
        while not listener.asked:
            await turns(1)
        acceptor.close()
        await turns(MANY)
        assert listener.asked == 1


async def test_a_client_that_went_while_it_waited_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with Listener() as listener, waiting(listener, 1) as (client,):
        listener.failures = [ConnectionAbortedError(errno.ECONNABORTED, "Software caused connection abort")] * 3
        acceptor = Acceptor(listener, Greeter)
        assert await greeting(client) == b"welcome"
        assert not caplog.records
        acceptor.close()


async def test_a_socket_that_the_supervisor_has_shut_down_wakes_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with Listener() as listener:
        acceptor = Acceptor(listener, Greeter)
        listener.shutdown(socket.SHUT_RDWR)
        await until(lambda: listener.asked > 0)
        await turns(MANY)
        assert listener.asked == 1
        assert not caplog.records
        acceptor.close()


async def test_what_was_taken_before_the_end_is_served_and_known_when_it_is_settled() -> None:
    """A worker that ends asks its connections whether one is left: who was taken and has no protocol yet is one too."""
    made: list[Greeter] = []

    def make() -> Greeter:
        made.append(Greeter())
        return made[-1]

    with Listener() as listener, waiting(listener, 3) as clients:
        acceptor = Acceptor(listener, make)
        while listener.asked < len(clients):
            await turns(1)
        acceptor.close()
        unserved = len(clients) - len(made)
        await acceptor.settled()
        assert (unserved > 0, len(made)) == (True, len(clients))
        assert [await greeting(client) for client in clients] == [b"welcome"] * len(clients)
        await acceptor.settled()  # nobody is left to be waited for


async def test_after_its_end_it_takes_nobody() -> None:
    with Listener() as listener:
        acceptor = Acceptor(listener, Greeter)
        await turns(1)
        asked = listener.asked
        acceptor.close()
        acceptor.close()
        with waiting(listener, 1):
            await turns(MANY)
            assert listener.asked == asked
