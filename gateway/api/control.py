"""Who answers for operators, and for what was used? The control process, over a unix socket that only we can reach."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from gateway.core.asgi import CLOSE, Headers, Receive, Scope, Send, first_of
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.core.control_wire import MAX_BODY_BYTES, PRINCIPAL_HEADER, SPLIT_NOTICE
from gateway.core.endpoint import Access
from gateway.core.errors import NO_SUCH_PATH, BodyTimeoutError, NotFoundError, PayloadTooLargeError, UnavailableError
from gateway.core.lifeline import until_cut

PASSED: Final = frozenset((b"accept", b"if-none-match", b"user-agent"))
"""What of a client's fields reaches the control process. Its key does not: that was judged here."""
PASSED_OF_ADMINS: Final = PASSED | {b"authorization", b"content-type", b"if-match", b"x-admin-actor", b"x-admin-key"}
"""Likewise, where the control process judges the key."""
OF_CONNECTIONS: Final = frozenset((b"connection", b"content-length", b"date", b"keep-alive", b"server"))
MAX_HEAD_BYTES: Final = 65_536
MAX_ANSWER_BYTES: Final = 16 * 2**20
MAX_AT_ONCE: Final = 16
"""Requests of one worker that may be at the control process; clients of models pay for every other one."""
BODY_SECS: Final = 15.0
ANSWER_SECS: Final = 30.0
RETRY_SECS: Final = 1.0
"""A control process that has died is started again at once."""

_ADMIN = Access.ADMIN
_WAITING = Phase.WAITING

Drain = Callable[[str], Awaitable[None]]
"""Counts a failed authentication of an address; raises `RateLimitedError` when it has made too many."""


class ControlUnavailableError(UnavailableError):
    """The control process does not answer; models are served all the same."""

    code = "control_plane_unavailable"


class Answer(NamedTuple):
    """A whole answer of the control process."""

    status: int
    headers: Headers
    body: bytes


class ControlRelay:
    """The application for every path that the control process answers.

    Args:
        socket: path of its unix socket; empty: there is no control process.
        drain: counts wrong keys of administrators by address, which must not be guessed faster than any other.
        admin: whether there is an admin API at all, which is known here also while the control process is away.
    """

    def __init__(self, socket: str, drain: Drain, *, admin: bool = True) -> None:
        self._socket = socket
        self._drain = drain
        self._admin = admin
        self._at_once = 0

    def neighbours(self) -> list[str]:
        """Other hosts that grant the same limits once more, as the control process has found."""
        try:
            found: list[str] = orjson.loads(Path(self._socket).with_name(SPLIT_NOTICE).read_bytes())
        except (OSError, ValueError):
            return []
        return found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay one request.

        Raises:
            NotFoundError: there is no admin API.
            ControlUnavailableError: there is no answer; a change may have been made all the same.
            RateLimitedError: the address has sent too many wrong keys.
        """
        ctx: RequestContext = scope[CONTEXT_KEY]
        if ctx.endpoint.access is _ADMIN and not self._admin:
            raise NotFoundError(NO_SUCH_PATH)
        if not self._socket or self._at_once >= MAX_AT_ONCE:
            raise unavailable()
        self._at_once += 1
        try:
            body = await read(ctx, receive)
            ctx.phase = _WAITING
            answer = await self._ask(head_of(ctx, scope, len(body)) + body, safe=ctx.method in {"GET", "HEAD"})
        finally:
            self._at_once -= 1
        if answer.status == HTTPStatus.UNAUTHORIZED and ctx.endpoint.access is _ADMIN:
            await self._drain(ctx.organization)
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _ask(self, request: bytes, *, safe: bool) -> Answer:
        """One request on a connection of its own: these are few, and none is ever found closed."""
        sent = False
        try:
            async with asyncio.timeout(ANSWER_SECS):
                reader, writer = await asyncio.open_unix_connection(self._socket, limit=MAX_HEAD_BYTES)
                try:
                    sent = True
                    writer.write(request)
                    return await read_answer(reader)
                finally:
                    writer.close()
        except (OSError, TimeoutError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise unavailable(may_have_run=sent and not safe) from error


def unavailable(*, may_have_run: bool = False) -> ControlUnavailableError:
    """What to say when there is no answer."""
    if may_have_run:
        words = "The control process broke off: read again whether the change was made."
        return ControlUnavailableError(words, should_retry=False)
    return ControlUnavailableError("The control process does not answer. Try again shortly.", retry_after=RETRY_SECS)


def head_of(ctx: RequestContext, scope: Scope, length: int) -> bytes:
    """The head of the request as the control process gets it; HEAD asks as GET does."""
    method = "GET" if ctx.method == "HEAD" else ctx.method
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    principal = orjson.dumps({"organization": ctx.organization, "key_id": ctx.principal.key_id})
    passed = PASSED_OF_ADMINS if ctx.endpoint.access is _ADMIN else PASSED
    lines = [
        b"%b %b HTTP/1.1" % (method.encode("ascii"), scope["raw_path"] + query),
        b"host: control",
        b"connection: close",
        b"content-length: %d" % length,
        b"x-request-id: " + ctx.request_id.encode("ascii"),
        PRINCIPAL_HEADER + b": " + principal.replace(b"\x7f", b"\\u007f"),
        *[name + b": " + value for name, value in ctx.fields.items() if name in passed],
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def read(ctx: RequestContext, receive: Receive) -> bytes:
    """The whole body, within its bounds.

    Raises:
        PayloadTooLargeError: it has more than MAX_BODY_BYTES.
        BodyTimeoutError: it did not come in time.
    """
    stated = ctx.fields.get(b"content-length", b"0")
    parts: list[bytes] = []
    if int(stated) > MAX_BODY_BYTES:
        raise too_large()
    try:
        async with asyncio.timeout(BODY_SECS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    await until_cut()
                parts.append(message.get("body", b""))
                ctx.bytes_in += len(parts[-1])
                if ctx.bytes_in > MAX_BODY_BYTES:
                    raise too_large()
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise BodyTimeoutError("The request's body did not arrive in time.", headers=[CLOSE]) from None


def too_large() -> PayloadTooLargeError:
    """The refusal; the rest of the body would be taken for the next request."""
    words = f"The request body is larger than {MAX_BODY_BYTES} bytes."
    return PayloadTooLargeError(words, should_retry=False, headers=[CLOSE])


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One answer with a stated length, as our own server on the other side writes it.

    Raises:
        ValueError: it is another kind of answer, or larger than MAX_ANSWER_BYTES.
        EOFError: it ended early.
    """
    first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    status = int(first[len(b"HTTP/1.1 ") :][:3])
    fields = [line.partition(b":") for line in lines]
    headers = [(name.lower(), value.strip()) for name, _, value in fields]
    bodiless = status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    length = 0 if bodiless else int(first_of(headers, b"content-length"))
    if length > MAX_ANSWER_BYTES:
        raise ValueError("the answer is too large")
    body = await reader.readexactly(length)
    return Answer(status, [field for field in headers if field[0] not in OF_CONNECTIONS], body)
