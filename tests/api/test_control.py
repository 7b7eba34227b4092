"""What reaches the control process, what comes back, and what is said when nothing does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.api.control import MAX_AT_ONCE, ControlRelay, ControlUnavailableError
from gateway.api.endpoints import ADMIN, find
from gateway.core.asgi import ASGIApp, Headers, Message, Receive, Scope, Send, fields_of
from gateway.core.context import CONTEXT_KEY
from gateway.core.control_wire import MAX_BODY_BYTES, PRINCIPAL_HEADER
from gateway.core.endpoint import Endpoint
from gateway.core.errors import NotFoundError, PayloadTooLargeError, RateLimitedError
from gateway.core.principal import Principal
from gateway.server.unix import UnixServer
from tests.api.served import uncounted
from tests.core.requests import context

pytestmark = pytest.mark.anyio

USAGE = find("/v1/usage", b"/v1/usage")
FORGED: Headers = [(PRINCIPAL_HEADER, b'{"organization": "org:others"}'), (b"x-admin-key", b"k"), (b"cookie", b"c")]


class Control:
    """A control process's application: tells what it was asked, and answers as it was told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes, dict[bytes, bytes], bytes]] = []
        self.status = 200
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        fields = fields_of(scope["headers"])
        self.asked.append((scope["method"], scope["path"], scope["query_string"], fields, body))
        await self.go_on.wait()
        headers = [(b"content-length", b"3"), (b"etag", b'"1"'), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"yes"})


class Bench:
    """A relay at a control process of its own."""

    def __init__(self, path: Path, control: Control) -> None:
        self.control = control
        self.drained: list[str] = []
        self.relay = ControlRelay(str(path), self._drain)

    async def _drain(self, address: str) -> None:
        self.drained.append(address)
        if len(self.drained) > 1:
            raise RateLimitedError("too many")

    async def ask(self, method: str, path: str, *, fields: Headers | None = None, body: bytes = b"") -> list[Message]:
        return await ask(self.relay, method, path, fields=fields, body=body)


async def ask(
    relay: ControlRelay, method: str, path: str, *, fields: Headers | None = None, body: bytes = b""
) -> list[Message]:
    """What the relay sends for one request of `ip:192.0.2.1`, or of `org:acme` where it has a key."""
    raw, _, query = path.encode().partition(b"?")
    endpoint = find(raw.decode(), raw)
    assert isinstance(endpoint, Endpoint)
    ctx = context(endpoint)
    ctx.method = method
    ctx.organization = "ip:192.0.2.1" if endpoint is ADMIN else "org:acme"
    ctx.principal = Principal() if endpoint is ADMIN else Principal("org:acme", "key1")
    ctx.fields = fields_of([(b"accept", b"*/*"), *(fields or [])])
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"raw_path": raw, "query_string": query, CONTEXT_KEY: ctx}
    await relay(scope, receive, send)
    return sent


@asynccontextmanager
async def serving(app: ASGIApp, path: Path) -> AsyncIterator[UnixServer]:
    """`app` at a unix socket."""
    started = asyncio.Event()
    server = UnixServer(app, path, started.set)
    task = asyncio.create_task(server.serve())
    await started.wait()
    try:
        yield server
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    control = Control()
    async with serving(control, tmp_path / "c" / "1.sock"):
        yield Bench(tmp_path / "c" / "1.sock", control)


@pytest.mark.parametrize("path", ["/admin/v1/keys", "/admin/quotas"])
async def test_without_an_admin_key_there_is_no_admin_api_whether_or_not_anybody_would_answer(path: str) -> None:
    relay = ControlRelay("", uncounted, admin=False)
    with pytest.raises(NotFoundError):
        await ask(relay, "GET", path)
    with pytest.raises(ControlUnavailableError):
        await ask(relay, "GET", "/v1/usage")


async def test_a_request_goes_on_whole_and_its_answer_comes_back(bench: Bench) -> None:
    sent = await bench.ask("POST", "/admin/v1/keys/a%2Fb?most=2", fields=[(b"if-match", b'"1"')], body=b'{"a": 1}')
    [(method, path, query, fields, body)] = bench.control.asked
    assert (method, path, query, body) == ("POST", "/admin/v1/keys/a/b", b"most=2", b'{"a": 1}')
    assert fields[b"if-match"] == b'"1"'
    assert sent[0]["status"] == 200
    assert sent[0]["headers"] == [(b"etag", b'"1"'), (b"content-length", b"3")]
    assert sent[1]["body"] == b"yes"


async def test_for_whom_a_client_counts_is_the_workers_word_alone(bench: Bench) -> None:
    await bench.ask("GET", "/v1/usage", fields=[*FORGED, (b"authorization", b"Bearer sk-client")])
    [(*_, fields, _)] = bench.control.asked
    assert orjson.loads(fields[PRINCIPAL_HEADER]) == {"organization": "org:acme", "key_id": "key1"}
    assert not fields.keys() & {b"x-admin-key", b"cookie", b"authorization"}


async def test_an_administrators_key_goes_on_and_no_other_strange_field(bench: Bench) -> None:
    await bench.ask("GET", "/admin/v1/keys", fields=FORGED)
    [(*_, fields, _)] = bench.control.asked
    assert fields[b"x-admin-key"] == b"k"
    assert b"cookie" not in fields
    assert orjson.loads(fields[PRINCIPAL_HEADER])["organization"] == "ip:192.0.2.1"


async def test_head_asks_as_get_does(bench: Bench) -> None:
    await bench.ask("HEAD", "/v1/usage")
    assert bench.control.asked[0][0] == "GET"


async def test_a_wrong_key_of_an_administrator_counts_against_its_address(bench: Bench) -> None:
    bench.control.status = 401
    await bench.ask("GET", "/v1/usage")
    assert not bench.drained
    assert (await bench.ask("GET", "/admin/v1/keys"))[0]["status"] == 401
    with pytest.raises(RateLimitedError):
        await bench.ask("GET", "/admin/v1/keys")
    assert bench.drained == ["ip:192.0.2.1"] * 2


async def test_a_body_that_is_too_large_stays_here(bench: Bench) -> None:
    with pytest.raises(PayloadTooLargeError):
        await bench.ask("POST", "/admin/v1/keys", body=b" " * (MAX_BODY_BYTES + 1))
    assert not bench.control.asked


async def test_only_so_many_are_there_at_once(bench: Bench) -> None:
    bench.control.go_on.clear()
    asking = [asyncio.create_task(bench.ask("GET", "/v1/usage")) for _ in range(MAX_AT_ONCE)]
    async with asyncio.timeout(30):
        while len(bench.control.asked) < MAX_AT_ONCE:  # noqa: ASYNC110 -- a server's list tells nobody
            await asyncio.sleep(0)  # noqa: TID251 -- a turn of the loop
        with pytest.raises(ControlUnavailableError):
            await bench.ask("GET", "/v1/usage")
        bench.control.go_on.set()
        await asyncio.gather(*asking)
    assert (await bench.ask("GET", "/v1/usage"))[0]["status"] == 200


@pytest.mark.parametrize("path", [lambda _: "", lambda folder: str(folder / "none.sock")], ids=["no path", "nobody"])
async def test_without_a_control_process_a_client_may_come_again(path: Callable[[Path], str], tmp_path: Path) -> None:
    async def drain(_: str) -> None:
        raise AssertionError("no key was judged")

    with pytest.raises(ControlUnavailableError) as refusal:
        await ask(ControlRelay(path(tmp_path), drain), "POST", "/admin/v1/keys")
    assert (refusal.value.status, refusal.value.retry_after, refusal.value.should_retry) == (503, 1.0, None)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nyes", b"HTTP/1.1 200 OK\r\n\r\nyes", b"\r\n\r\n"]
)
async def test_a_change_whose_answer_broke_off_is_not_to_be_repeated_blindly(said: bytes, tmp_path: Path) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async def drain(_: str) -> None:
        raise AssertionError("no key was judged")

    async with await asyncio.start_unix_server(die, tmp_path / "s"):
        relay = ControlRelay(str(tmp_path / "s"), drain)
        with pytest.raises(ControlUnavailableError) as refusal:
            await ask(relay, "POST", "/admin/v1/keys")
        assert refusal.value.should_retry is False
        with pytest.raises(ControlUnavailableError) as refusal:
            await ask(relay, "GET", "/admin/v1/keys")
        assert refusal.value.should_retry is None


async def test_whoever_comes_later_answers_at_the_same_path_and_the_first_leaves_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "1.sock"
    first, second = Control(), Control()
    async with serving(first, path) as old:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        async with serving(second, path):
            old.should_exit = True
            await Bench(path, second).ask("GET", "/v1/usage")
            assert (len(first.asked), len(second.asked)) == (0, 1)
            await old.shutdown()
            assert path.exists()
        assert not path.exists()
