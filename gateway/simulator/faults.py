"""What can go wrong on purpose? One table of faults, and the rows of it that are switched on."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

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


async def _as_usual(exchange: Exchange, answer: Answer, _given: Parameters) -> None:
    await answer(exchange)


async def _reset_before_headers(exchange: Exchange, _answer: Answer, _given: Parameters) -> None:
    await exchange.body()
    exchange.broken = True
    exchange.connection.reset()


async def _hang(exchange: Exchange, _answer: Answer, _given: Parameters) -> None:
    await exchange.body()
    await exchange.until_gone()


async def _status(exchange: Exchange, _answer: Answer, given: Parameters) -> None:
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


async def _html(exchange: Exchange, _answer: Answer, _given: Parameters) -> None:
    await exchange.body()
    exchange.broken = True
    page = b"<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"
    await exchange.answer(page, [(b"content-type", b"text/html")])


async def _reset_mid_stream(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    async def cut() -> None:
        await pause(_DELIVERY)
        exchange.connection.reset()

    await _cut(exchange, answer, given["after"], cut)


async def _eof_mid_stream(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    async def cut() -> None:
        if given["terminated"]:
            exchange.connection.write(b"0\r\n\r\n")
        exchange.connection.close()

    await _cut(exchange, answer, given["after"], cut)


async def _truncated_body(exchange: Exchange, answer: Answer, _given: Parameters) -> None:
    async def cut() -> None:
        exchange.connection.close()

    await _cut(exchange, answer, 1, cut)


async def _broken_json_event(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    def spoil(number: int, event: bytes) -> bytes:
        return event[: len(event) // 2].rstrip(b"\n") + b"\n\n" if number == given["after"] else event

    exchange.broken = True
    exchange.tap(lambda send: _Events(send, spoil))
    await answer(exchange)


async def _ordered(exchange: Exchange, answer: Answer, orders: Orders) -> None:
    exchange.orders = orders
    await answer(exchange)


async def _silence(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    await _ordered(exchange, answer, Orders(freeze_after=given["after"]))


async def _comments_only(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    await _ordered(exchange, answer, Orders(freeze_after=given["after"], comments_every=given["seconds"]))


async def _in_band_error(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    await _ordered(exchange, answer, Orders(fail_after=given["after"]))


async def _abort(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    exchange.broken = True
    await _ordered(exchange, answer, Orders(abort_after=given["after"]))


async def _slow(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    await _ordered(exchange, answer, Orders(token_seconds=given["seconds"]))


async def _stray_second_answer(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    await answer(exchange)
    await pause(given["seconds"])
    if exchange.connection.is_idle():
        exchange.connection.write(_STRAY)


async def _close_idle(exchange: Exchange, answer: Answer, given: Parameters) -> None:
    await answer(exchange)
    await pause(given["seconds"])
    if exchange.connection.is_idle():
        exchange.connection.close()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: what it does to a request, and its parameters with their defaults."""

    strike: Strike
    parameters: Parameters


KINDS: Mapping[str, Kind] = {
    "refuse": Kind(_as_usual, {}),
    "reset_before_headers": Kind(_reset_before_headers, {}),
    "hang": Kind(_hang, {}),
    "status": Kind(_status, {"status": 500, "form": "", "message": ""}),
    "html_200": Kind(_html, {}),
    "reset_mid_stream": Kind(_reset_mid_stream, {"after": 3}),
    "eof_mid_stream": Kind(_eof_mid_stream, {"after": 3, "terminated": False}),
    "truncated_body": Kind(_truncated_body, {}),
    "broken_json_event": Kind(_broken_json_event, {"after": 3}),
    "silence": Kind(_silence, {"after": 3}),
    "comments_only": Kind(_comments_only, {"after": 3, "seconds": 0.5}),
    "in_band_error": Kind(_in_band_error, {"after": 3}),
    "abort": Kind(_abort, {"after": 3}),
    "slow": Kind(_slow, {"seconds": 1.0}),
    "stray_second_answer": Kind(_stray_second_answer, {"seconds": 0.0}),
    "close_idle": Kind(_close_idle, {"seconds": 0.0}),
}
"""The faults.

`refuse` closes the listener and idle connections, so that connecting is refused until it is taken away.
`after` counts events of the stream (in `silence`, `comments_only`, `in_band_error` and `abort`: tokens), and the first
event of a chat stream is the role. A JSON answer that a mid-stream fault meets is cut in its middle.
`status` with the form `queue_full`, `engine_dead` or `draining` says it in vLLM's words and with vLLM's status;
`string` and `detail` are its other body forms. 401 is a string unless another form is asked for.
`eof_mid_stream` ends with FIN inside the chunked body, or with `terminated` after its last chunk, without `[DONE]`.
`slow` makes one token every so many seconds. `close_idle` closes the kept-alive connection so many seconds after an
answer.
"""


@dataclass(slots=True)
class Fault:
    """A fault that is switched on.

    Args:
        count: how many more requests it strikes; None is every one until it is taken away.
        path: strikes this path only; without one every POST.
    """

    name: str
    parameters: dict[str, Any]
    count: int | None = None
    path: str | None = None
    struck: int = 0

    async def strike(self, exchange: Exchange, answer: Answer) -> None:
        """Let it happen to this request."""
        await KINDS[self.name].strike(exchange, answer, self.parameters)

    def meets(self, method: str, path: str) -> bool:
        """Whether it strikes this request."""
        if self.name == "refuse" or self.count == 0:
            return False
        return path == self.path if self.path else method == "POST"


class Door(Protocol):
    """The listener, which the `refuse` fault closes."""

    def shut(self) -> None:
        """Refuse connections and close idle ones."""

    async def open(self) -> None:
        """Listen again."""


class Faults:
    """The rows that are switched on; the first that meets a request strikes it."""

    def __init__(self) -> None:
        self._rows: list[Fault] = []

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, if any, with its count used up by one."""
        for fault in self._rows:
            if fault.meets(method, path):
                fault.struck += 1
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None

    def rows(self) -> list[dict[str, Any]]:
        """The rows as plain values."""
        return [asdict(fault) for fault in self._rows]

    async def replace(self, rows: list[dict[str, Any]], door: Door) -> None:
        """Switch on these faults and no others.

        Raises:
            ValueError: a row names an unknown fault or parameter.
        """
        self._rows = [_read(row) for row in rows]
        if any(fault.name == "refuse" for fault in self._rows):
            door.shut()
        else:
            await door.open()


def _read(row: dict[str, Any]) -> Fault:
    given = dict(row)
    name, count, path = given.pop("name", None), given.pop("count", None), given.pop("path", None)
    if name not in KINDS:
        raise ValueError(f"unknown fault {name!r}; there are {', '.join(KINDS)}")
    known = KINDS[name].parameters
    if strange := set(given) - set(known):
        raise ValueError(f"{name} has no parameter {', '.join(sorted(strange))}; it has {', '.join(known) or 'none'}")
    if given.get("form") and given["form"] not in (*FORMS, "string", "detail"):
        raise ValueError(f"unknown form {given['form']!r}; there are {', '.join((*FORMS, 'string', 'detail'))}")
    return Fault(name, {**known, **given}, count, path)


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
