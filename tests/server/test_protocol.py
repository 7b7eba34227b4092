"""What a client's bytes become: a request, or a refusal; on real sockets."""

import asyncio

import pytest

from gateway.core.asgi import Receive, Scope, Send
from tests.server.door import (
    Client,
    Echo,
    ask,
    client,
    connection_of,
    eventually,
    read_body,
    reply,
    request,
    serving,
    turns,
)

pytestmark = pytest.mark.anyio

HOST = b"Host: gateway.test\r\n"


# What a request becomes.


async def test_a_request_becomes_a_scope_and_its_answer_an_answer() -> None:
    echo = Echo()
    async with serving(echo) as door, client(door) as it:
        await it.send(request("POST", "/v1/a%20b?x=1", b"hello", b"X-Thing: One"))
        answer = await it.answer()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 01:00:00 GMT\r\ncontent-length: 5\r\n\r\n")
    assert answer.endswith(b"hello")
    scope = echo.scopes[0]
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("POST", "/v1/a b", b"/v1/a%20b")
    assert (scope["query_string"], scope["http_version"], scope["client"][0]) == (b"x=1", "1.1", "127.0.0.1")
    assert (b"x-thing", b"One") in scope["headers"]


async def test_every_answer_states_the_date_of_its_own_time() -> None:
    async with serving(Echo()) as door, client(door) as it:
        for date in (b"Sat, 21 Nov 2026 01:00:00 GMT", b"Sat, 21 Nov 2026 01:00:01 GMT"):
            door.state.default_headers = [(b"date", date)]
            await it.send(request(body=b"hello"))
            assert b"\r\ndate: " + date + b"\r\n" in await it.answer()


async def test_an_answer_of_stated_length_leaves_in_one_piece() -> None:
    pieces = []

    class Counting(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            pieces.append(data)

    async with serving(Echo()) as door:
        transport, _ = await asyncio.get_running_loop().create_connection(Counting, "127.0.0.1", door.port)
        transport.write(request(body=b"hello"))
        await eventually(lambda: b"".join(pieces).endswith(b"hello"))
        transport.close()
    assert len(pieces) == 1


async def test_an_aborted_answer_without_a_body_shows_its_head() -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        connection_of(scope).abort()

    async with serving(app) as door:
        answer = await ask(door, request("GET", "/"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"content-length: 9\r\n\r\n")


@pytest.mark.parametrize("before", [b"", b"\r\n"], ids=["alone", "behind an empty line"])
async def test_each_request_of_a_connection_is_read_by_its_own_line(before: bytes) -> None:
    echo = Echo()
    asked = [("POST", "/a"), ("POST", "/a"), ("POST", "/ab"), ("GET", "/a"), ("POST", "/a?x"), ("POST", "/a")]
    async with serving(echo) as door, client(door) as it:
        for method, path in asked:
            await it.send(before + request(method, path, b"body"))
            await it.answer()
    read = [(scope["method"], (scope["raw_path"] + b"?" + scope["query_string"]).decode()) for scope in echo.scopes]
    assert read == [(method, path if "?" in path else path + "?") for method, path in asked]


async def test_a_line_that_comes_in_two_pieces_is_not_mistaken_for_its_second() -> None:
    echo = Echo()
    async with serving(echo) as door, client(door) as it:
        for method in ("LOCK", "UNLOCK", "LOCK"):  # the one ends as the other stands
            data = request(method, "/a", b"body")
            if method == "UNLOCK":
                await it.send(data[:2])
                await turns()
                data = data[2:]
            await it.send(data)
            await it.answer()
        await it.send(b"UN")
        await turns()
        await it.send(request("LOCK", "/b", b"body"))
        await it.answer()
        await it.send(request("LOCK", "/b", b"body"))
        await it.answer()
    assert [scope["method"] for scope in echo.scopes] == ["LOCK", "UNLOCK", "LOCK", "UNLOCK", "LOCK"]


async def test_a_connection_serves_one_request_after_another() -> None:
    async with serving(Echo()) as door, client(door) as it:
        for body in (b"one", b"two", b"three"):
            await it.send(request(body=body))
            assert (await it.answer()).endswith(b"\r\n\r\n" + body)


async def test_a_request_may_come_byte_by_byte() -> None:
    async with serving(Echo()) as door, client(door) as it:
        for byte in request(body=b"slowly"):
            await it.send(bytes([byte]))
            await turns()
        assert (await it.answer()).endswith(b"slowly")


async def test_chunks_are_put_together_and_their_trailers_are_not_headers() -> None:
    echo = Echo()
    async with serving(echo) as door, client(door) as it:
        await it.send(
            b"POST / HTTP/1.1\r\n"
            + HOST
            + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nEvil: yes\r\n\r\n"
        )
        assert (await it.answer()).endswith(b"abcde")
    assert b"evil" not in dict(echo.scopes[0]["headers"])


async def test_an_upgrade_is_ignored_and_its_body_is_not_lost() -> None:
    upgrade = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    async with serving(Echo()) as door, client(door) as it:
        await it.send(request("POST", "/", b"body", *upgrade))
        assert (await it.answer()).endswith(b"body")
        head, body = request("POST", "/", b"late body", *upgrade).split(b"\r\n\r\n")
        await it.send(head + b"\r\n\r\n" + body[:4])
        await it.send(body[4:])
        assert (await it.answer()).endswith(b"late body")
        await it.send(request("GET", "/", b"", *upgrade))
        assert b"200 OK" in await it.answer()


async def test_a_client_that_waits_for_100_continue_is_told_to_go_on() -> None:
    async with serving(Echo()) as door, client(door) as it:
        head, body = request("POST", "/", b"body", b"Expect: 100-continue").split(b"\r\n\r\n")
        await it.send(head + b"\r\n\r\n")
        assert await it.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await it.send(body)
        assert (await it.answer()).endswith(b"body")


# Empty lines that some clients send behind a body.


@pytest.mark.parametrize("behind", [b"\r\n", b"\r\n\r\n", b"\n"])
async def test_an_empty_line_behind_a_body_does_not_cost_the_next_request(behind: bytes) -> None:
    async with serving(Echo()) as door, client(door) as it:
        await it.send(request(body=b"one") + behind)
        assert (await it.answer()).endswith(b"\r\n\r\none")
        await it.send(behind + request(body=b"two"))
        assert (await it.answer()).endswith(b"\r\n\r\ntwo")
        assert b"three" in await ask_again(it, request(body=b"three"))


async def ask_again(it: Client, data: bytes) -> bytes:
    await it.send(data)
    return await it.answer()


async def test_a_late_empty_line_leaves_the_running_request_and_its_connection_alone() -> None:
    begun, proceed = asyncio.Event(), asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        begun.set()
        await proceed.wait()
        await reply(send, body)

    async with serving(app) as door, client(door) as it:
        await it.send(request(body=b"one"))
        await begun.wait()
        await it.send(b"\r\n")
        await turns()
        proceed.set()
        answer = await it.answer()
        assert answer.endswith(b"\r\n\r\none")
        assert b"connection: close" not in answer
        await it.send(b"\r\n")
        assert b"two" in await ask_again(it, request(body=b"two"))


async def test_an_empty_line_alone_is_no_head_that_is_late() -> None:
    async with serving(Echo(), header_timeout=0.05, keepalive=0.3) as door, client(door) as it:
        await ask_again(it, request(body=b"one"))
        await it.send(b"\r\n")
        await asyncio.sleep(0.1)  # noqa: TID251 -- longer than a head may take: what must not happen has no event
        assert b"two" in await ask_again(it, request(body=b"two"))


# One request at a time.


@pytest.mark.parametrize("together", [True, False], ids=["in one segment", "in two"])
async def test_a_pipelined_request_is_not_run_and_the_answer_is_the_last(together: bool) -> None:  # noqa: FBT001 -- a case
    paths = []
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        body = await read_body(receive)
        await proceed.wait()
        await reply(send, body)

    second = request("POST", "/second", b"two") * 3
    async with serving(app) as door, client(door) as it:
        first = request("POST", "/first", b"one")
        if together:
            await it.send(first + second)
            await eventually(lambda: paths)
        else:
            await it.send(first)
            await eventually(lambda: paths)
            await it.send(second)
        proceed.set()
        answer = await it.rest()
    assert answer.endswith(b"one")
    assert answer.count(b"HTTP/1.1") == 1
    assert paths == ["/first"]


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
async def test_a_pipelined_request_does_not_hide_a_departure(reset: bool) -> None:  # noqa: FBT001 -- a case
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        connection_of(scope).watch(gone.set)
        await read_body(receive)
        await asyncio.Event().wait()

    async with serving(app) as door, client(door) as it:
        await it.send(request(body=b"one") + request(body=b"x" * 300_000) * 4)
        it.leave(reset=reset)
        assert await gone.wait()
