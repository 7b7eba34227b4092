"""One connection: what is asked in one turn leaves together, and silence ends it in time."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

from gateway.store.valkey.address import Address, parse
from gateway.store.valkey.connection import Connection, LostError, ask, connect
from tests.store.valkey.server import Server, running

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("--requirepass", "s3cret") as server:
        yield server


class Heard:
    """What a connection says unasked."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.lost: list[str] = []


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def connected(server: Server, heard: Heard, patience: float = 10.0) -> Connection:
    made = partial(Connection, patience, heard.messages.append, heard.lost.append)
    return await connect(parse(f"unix://:s3cret@{server.socket}?db=1"), made, 10.0)


@pytest.fixture
async def connection(server: Server, heard: Heard) -> AsyncIterator[Connection]:
    made = await connected(server, heard)
    yield made
    made.close()


async def test_replies_come_in_the_order_of_what_was_asked(connection: Connection) -> None:
    replies = await asyncio.gather(*(connection.ask("ECHO", str(number)) for number in range(1000)))
    assert replies == [str(number).encode() for number in range(1000)]


async def test_what_is_no_longer_awaited_is_read_past(connection: Connection) -> None:
    first, second = connection.ask("ECHO", "first"), connection.ask("ECHO", "second")
    first.cancel()
    assert await second == b"second"


async def test_what_is_published_is_heard_on_the_same_connection(connection: Connection, heard: Heard) -> None:
    connection.listen("here")
    assert await ask(connection, "PUBLISH", "here", "word") == 1
    assert await ask(connection, "PING") == b"PONG"
    assert heard.messages == [b"word"]


async def test_a_server_that_stands_still_is_given_up_once(server: Server, heard: Heard) -> None:
    connection = await connected(server, heard, patience=0.05)
    server.send(signal.SIGSTOP)
    try:
        async with asyncio.timeout(10):
            replies = await asyncio.gather(*(connection.ask("PING") for _ in range(3)), return_exceptions=True)
        assert [type(reply) for reply in replies] == [LostError] * 3
        with pytest.raises(LostError):
            await connection.ask("PING")
        assert heard.lost == ["no answer within 50 ms"]
    finally:
        server.send(signal.SIGCONT)


async def test_a_loop_that_was_held_up_finds_its_replies_before_it_misses_them(server: Server, heard: Heard) -> None:
    connection = await connected(server, heard, patience=0.2)
    loop = asyncio.get_running_loop()
    left, asked = connection.ask("PING"), connection.ask("BLPOP", "nothing", "0.1")  # answered after that time
    assert await left == b"PONG"
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def hold_up() -> None:  # as another connection's bytes do: timers are due before the loop reads again
            loop.remove_reader(ours)
            subprocess.run(["sleep", "0.4"], check=True)  # noqa: S607 -- the system's

        loop.add_reader(ours, hold_up)
        theirs.send(b"x")
        assert await asked is None
    connection.close()


async def test_the_server_has_its_time_from_when_the_question_has_left(server: Server, heard: Heard) -> None:
    connection = await connected(server, heard, patience=0.5)
    asked = connection.ask("BLPOP", "nothing", "0.2")  # answered after that time
    subprocess.run(["sleep", "0.7"], check=True)  # noqa: ASYNC221, S607 -- the loop is to stand still; the system's
    assert await asked is None
    connection.close()


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_a_refused_password_is_no_connection(server: Server, heard: Heard, password: str) -> None:
    made = partial(Connection, 10.0, heard.messages.append, heard.lost.append)
    with pytest.raises(LostError) as refused:
        await connect(Address(path=str(server.socket), password=password), made, 10.0)
    assert "wrong" not in str(refused.value)


def test_a_worker_of_one_host_does_not_load_the_client() -> None:
    program = "import sys, gateway.app, gateway.store.factory; sys.exit('hiredis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603 -- this interpreter
