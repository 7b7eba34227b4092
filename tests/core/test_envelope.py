"""A failure is spelled as the path's SDKs read it, whole or as a stream's last event."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic
import openai
import orjson
import pytest

from gateway.core import errors
from gateway.core.endpoint import Dialect
from gateway.core.envelope import ANTHROPIC_TYPES, error_body, error_event, error_headers
from gateway.core.errors import BadRequestError, GatewayError, RateLimitedError

pytestmark = pytest.mark.anyio

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GatewayError) and kind.__module__ == errors.__name__
]


def body_of(error: GatewayError, dialect: Dialect) -> object:
    return orjson.loads(error_body(error, dialect, "req1"))


@pytest.mark.parametrize("dialect", [Dialect.OPENAI, Dialect.RESPONSES])
def test_openais_envelope_has_its_four_members_and_nothing_else(dialect: Dialect) -> None:
    error = BadRequestError("No such field.", param="n")
    inner = {"message": "No such field.", "type": "invalid_request_error", "param": "n", "code": "invalid_request"}
    assert body_of(error, dialect) == {"error": inner}


def test_anthropics_envelope_names_the_kind_by_the_status_and_carries_the_id() -> None:
    error = RateLimitedError("Too many.")
    inner = {"type": "rate_limit_error", "message": "Too many."}
    assert body_of(error, Dialect.ANTHROPIC) == {"type": "error", "error": inner, "request_id": "req1"}


@pytest.mark.parametrize(
    ("status", "kind"), [*ANTHROPIC_TYPES.items(), (415, "invalid_request_error"), (502, "api_error")]
)
def test_every_status_has_a_kind_that_anthropics_sdk_knows(status: int, kind: str) -> None:
    error = GatewayError("x")
    error.status = status
    body = body_of(error, Dialect.ANTHROPIC)
    assert isinstance(body, dict)
    assert body["error"]["type"] == kind


@pytest.mark.parametrize("text", ['a "quoted" word', "two\nlines", "data: [DONE]\n\n", "\x1b[31m", "häß \u2028"])
@pytest.mark.parametrize("dialect", list(Dialect))
def test_no_text_breaks_out_of_its_event(dialect: Dialect, text: str) -> None:
    event = error_event(GatewayError(text), dialect, "req1")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n\n") == 1
    assert event.count(b"data: ") == (2 if "data: " in text else 1)
    data = event.removesuffix(b"\n\n").split(b"\n")[-1].removeprefix(b"data: ")
    assert orjson.loads(data)["error"]["message"] == text


@asynccontextmanager
async def streaming(event: bytes) -> AsyncIterator[str]:
    """The URL of a server whose one answer is a stream of this event, broken off behind it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head + b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_openais_sdk_raises_on_the_event() -> None:
    event = error_event(GatewayError("It broke."), Dialect.OPENAI, "req1")
    async with streaming(event) as url, openai.AsyncOpenAI(api_key="sk-x", base_url=url, max_retries=0) as sdk:
        stream = await sdk.chat.completions.create(model="m", messages=[], stream=True)
        with pytest.raises(openai.APIError, match="It broke"):
            await anext(aiter(stream))


async def test_openais_sdk_raises_on_the_event_of_a_response() -> None:
    event = error_event(GatewayError("It broke."), Dialect.RESPONSES, "req1")
    async with streaming(event) as url, openai.AsyncOpenAI(api_key="sk-x", base_url=url, max_retries=0) as sdk:
        stream = await sdk.responses.create(model="m", input="x", stream=True)
        with pytest.raises(openai.APIError, match="It broke"):
            await anext(aiter(stream))


async def test_anthropics_sdk_raises_on_the_event() -> None:
    event = error_event(GatewayError("It broke."), Dialect.ANTHROPIC, "req1")
    async with streaming(event) as url, anthropic.AsyncAnthropic(api_key="sk-x", base_url=url, max_retries=0) as sdk:
        stream = await sdk.messages.create(model="m", max_tokens=1, messages=[], stream=True)
        with pytest.raises(anthropic.APIError, match="It broke"):
            await anext(aiter(stream))


def test_an_error_that_knows_nothing_of_retries_says_nothing() -> None:
    assert error_headers(GatewayError("x")) == []


@pytest.mark.parametrize(
    ("after", "seconds", "milliseconds"),
    [
        (0.0, b"1", b"0"),
        (-3.0, b"1", b"0"),
        (0.0101, b"1", b"11"),
        (1.0, b"1", b"1000"),
        (1.0001, b"2", b"1001"),
        (60.0, b"60", b"60000"),
        (3600.0, b"60", b"60000"),
        (math.inf, b"60", b"60000"),
    ],
)
def test_waiting_times_are_rounded_up_and_bounded(after: float, seconds: bytes, milliseconds: bytes) -> None:
    assert error_headers(GatewayError("x", retry_after=after)) == [
        (b"retry-after", seconds),
        (b"retry-after-ms", milliseconds),
    ]


@pytest.mark.parametrize(("should", "value"), [(True, b"true"), (False, b"false")])
def test_a_known_use_of_a_retry_is_said(*, should: bool, value: bytes) -> None:
    assert error_headers(GatewayError("x", should_retry=should)) == [(b"x-should-retry", value)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_failure_is_an_http_error_with_a_word_for_programs(kind: type[GatewayError]) -> None:
    assert 400 <= kind.status < 600
    assert kind.code.isidentifier()
    assert kind.type.endswith("_error")
    assert (kind.type == "server_error") is (kind.status >= 500)
