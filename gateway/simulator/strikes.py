"""What does each fault do to a request? A function a fault, down to FIN and RST."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.types import Message, Send

from gateway.simulator.engine import Orders
from gateway.simulator.errors import FORMS, any_status
from gateway.simulator.exchange import ClientGone, Exchange
from gateway.simulator.pace import pause

Answer = Callable[[Exchange], Awaitable[None]]
Parameters = Mapping[str, Any]
Strike = Callable[[Exchange, Answer, Parameters], Awaitable[None]]

_DELIVERY = 0.02
"""Seconds in which the kernel delivers what was written, before a reset would overtake it."""

_EVENT = re.compile(rb".*?\n\n", re.DOTALL)

_STRAY = (
    b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: application/json\r\ncontent-length: 25\r\n\r\n"
    b'{"object":"stray-answer"}'
)


async def as_usual(exchange: Exchange, answer: Answer, _given: Parameters) -> None:
    """Nothing: the listener, not a request, is struck."""
    await answer(exchange)


async def reset_before_headers(exchange: Exchange, _answer: Answer, _given: Parameters) -> None:
    """RST when the whole request has been read."""
    await exchange.body()
    exchange.broken = True
    exchange.connection.reset()


async def hang(exchange: Exchange, _answer: Answer, _given: Parameters) -> None:
    """No answer, ever."""
    await exchange.body()
    await exchange.until_gone()


async def status(exchange: Exchange, _answer: Answer, given: Parameters) -> None:
    """An error in one of the forms that vLLM has for it."""
    await exchange.body()
    if given["form"] == "string" or (given["status"] == 401 and not given["form"]):  # noqa: PLR2004 -- the one that vLLM words so
        await exchange.json({"error": given["message"] or "Unauthorized"}, given["status"], vary=False)
        return
    if given["form"] == "detail":
        await exchange.json({"detail": given["message"] or "Not Found"}, given["status"])
        return
    refusal = FORMS[given["form"]]() if given["form"] else any_status(given["status"])
    refusal.message = given["message"] or refusal.message
    await exchange.json(refusal.openai(), refusal.status)


async def html(exchange: Exchange, _answer: Answer, _given: Parameters) -> None:
    """A page of HTML under a 200: what a proxy that stands in between would say."""
    await exchange.body()
    exchange.broken = True
    page = b"<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"
    await exchange.answer(page, [(b"content-type", b"text/html")])


async def reset_mid_stream(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """RST after so many events."""

    async def cut() -> None:
        await pause(_DELIVERY)
        exchange.connection.reset()

    await _cut(exchange, answer, given["after"], cut)


async def eof_mid_stream(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """FIN after so many events."""

    async def cut() -> None:
        if given["terminated"]:
            exchange.connection.write(b"0\r\n\r\n")
        exchange.connection.close()

    await _cut(exchange, answer, given["after"], cut)


async def truncated_body(exchange: Exchange, answer: Answer, _given: Parameters) -> None:
    """FIN after half of a body, or one event."""

    async def cut() -> None:
        exchange.connection.close()

    await _cut(exchange, answer, 1, cut)


async def broken_json_event(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """One event that is half of itself."""

    def spoil(number: int, event: bytes) -> bytes:
        return event[: len(event) // 2].rstrip(b"\n") + b"\n\n" if number == given["after"] else event

    exchange.broken = True
    exchange.tap(lambda send: _Events(send, spoil))
    await answer(exchange)


async def _ordered(exchange: Exchange, answer: Answer, orders: Orders) -> None:
    exchange.orders = orders
    await answer(exchange)


async def silence(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """No token after so many."""
    await _ordered(exchange, answer, Orders(freeze_after=given["after"]))


async def comments_only(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """Comments and no token after so many."""
    await _ordered(exchange, answer, Orders(freeze_after=given["after"], comments_every=given["seconds"]))


async def in_band_error(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """An error event under a 200 after so many tokens."""
    await _ordered(exchange, answer, Orders(fail_after=given["after"]))


async def abort(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """`finish_reason: "abort"` after so many tokens."""
    exchange.broken = True
    await _ordered(exchange, answer, Orders(abort_after=given["after"]))


async def slow(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """A token every so many seconds."""
    await _ordered(exchange, answer, Orders(token_seconds=given["seconds"]))


async def stray_second_answer(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """An answer that nobody asked for, behind the one that was."""
    await answer(exchange)
    await pause(given["seconds"])
    if exchange.connection.is_idle():
        exchange.connection.write(_STRAY)


async def close_idle(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """FIN on the connection that was to be kept."""
    await answer(exchange)
    await pause(given["seconds"])
    if exchange.connection.is_idle():
        exchange.connection.close()


async def delay(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    """The usual answer, so many seconds later.

    Raises:
        ClientGone: the client did not wait for it.
    """
    await exchange.body()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(given["seconds"]):
            await exchange.until_gone()
    if exchange.gone:
        raise ClientGone
    await answer(exchange)


async def text(exchange: Exchange, _answer: Answer, given: Parameters) -> None:
    """These words under a 200, however often: metrics that are stale, garbage or huge."""
    await exchange.body()
    await exchange.answer(given["text"].encode() * given["repeat"], [(b"content-type", given["type"].encode())])


async def endless(exchange: Exchange, _answer: Answer, given: Parameters) -> None:
    """These words under a 200 again and again, until the client has had enough."""
    await exchange.body()
    await exchange.start_events()
    async with exchange.watched(lambda: None):
        while not exchange.gone:
            await exchange.event(given["text"].encode())
            await pause(given["seconds"])


class _Events:
    """A send that sees single events of a stream: each may be changed."""

    def __init__(self, send: Send, change: Callable[[int, bytes], bytes]) -> None:
        self._send = send
        self._change = change
        self._number = 0

    async def __call__(self, message: Message) -> None:
        """Pass the message on, its events changed."""
        if message["type"] != "http.response.body" or not message.get("more_body"):
            await self._send(message)
            return
        events = []
        for event in _EVENT.findall(message["body"]):
            events.append(self._change(self._number, event))
            self._number += 1
        await self._send({**message, "body": b"".join(events)})


async def _cut(exchange: Exchange, answer: Answer, after: int, cut: Callable[[], Awaitable[None]]) -> None:
    """Let so many events of a stream through, or half of a JSON body, then cut and forget the request."""
    exchange.broken = True
    exchange.tap(lambda send: _Cutter(exchange, send, after, cut))
    await answer(exchange)


class _Cutter:
    """A send that cuts the answer at its place."""

    def __init__(self, exchange: Exchange, send: Send, after: int, cut: Callable[[], Awaitable[None]]) -> None:
        self._exchange = exchange
        self._send = send
        self._left = after
        self._cut = cut

    async def __call__(self, message: Message) -> None:
        """Pass the message on, or cut.

        Raises:
            ClientGone: the cut is made; the endpoint need not go on.
        """
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body = message.get("body", b"")
        if not message.get("more_body"):
            self._exchange.connection.write(body[: len(body) // 2])
            await self._strike()
        for event in _EVENT.findall(body):
            if self._left <= 0:
                await self._strike()
            await self._send({**message, "body": event})
            self._left -= 1
        if self._left <= 0:
            await self._strike()

    async def _strike(self) -> None:
        await self._cut()
        raise ClientGone
