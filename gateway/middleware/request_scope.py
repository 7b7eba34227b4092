"""Whose request is this? Gives each one its id and context, watches for its client's departure, records its end."""

import asyncio
import itertools
import re
from collections.abc import Callable
from functools import partial

from gateway.core.asgi import (
    CONNECTION_EXTENSION,
    FIELDS_EXTENSION,
    ASGIApp,
    Fields,
    Message,
    Receive,
    Scope,
    Send,
    fields_of,
)
from gateway.core.clock import Clock
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.core.endpoint import Access, Endpoint
from gateway.core.lifeline import Cut, Lifeline
from gateway.core.traceparent import trace_id_of
from gateway.core.worker import WorkerIdentity

CLIENT_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
"""What a client's own id may hold to be worth logging; anything else is ignored, so no log line can be forged."""
UNKNOWN = Endpoint("", frozenset(), access=Access.OPEN)
"""Stands in for the path of a request that is on no list."""
CLIENT_CLOSED_REQUEST = 499
"""nginx's word for a client that left before its answer began; never sent, only logged."""

Find = Callable[[str, bytes], Endpoint | None]
Record = Callable[[RequestContext], None]

_CLIENT_GONE = Cut.CLIENT_GONE
_DONE = Phase.DONE


class RequestScope:
    """The outermost layer: a request begins and ends here.

    Args:
        app: the rest of the chain.
        find: the allow-list's look-up.
        record: called exactly once per request, after its last byte or its cut.
        clock: for durations.
        worker: what ids begin with; when its drain's time is over, every request that still runs is cut.
    """

    def __init__(self, app: ASGIApp, find: Find, record: Record, clock: Clock, worker: WorkerIdentity) -> None:
        self._app = app
        self._find = find
        self._record = record
        self._clock = clock
        self._prefix = worker.request_ids
        self._numbers = itertools.count(1)
        self._live: set[RequestContext] = set()
        worker.drain.on_deadline(self._end_all)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one HTTP request through the chain."""
        ctx = self._begin(scope)
        connection = ctx.connection
        self._live.add(ctx)
        if connection is not None:
            connection.watch(partial(leave, ctx))
        try:
            await self._app(scope, receive, partial(_answer, ctx, send))
        finally:
            self._live.discard(ctx)
            ctx.lifeline.finish()
            if connection is not None:
                connection.unwatch()
            _conclude(ctx)
            self._record(ctx)

    def _end_all(self) -> None:
        """Cut every request that is still running: the drain's time is over."""
        for ctx in tuple(self._live):
            ctx.lifeline.cut(Cut.SHUTDOWN)

    def _begin(self, scope: Scope) -> RequestContext:
        client = scope.get("client")
        request_id = f"{self._prefix}{next(self._numbers)}"
        path = scope["path"]
        extensions = scope.get("extensions", {})
        fields = extensions.get(FIELDS_EXTENSION) or fields_of(scope["headers"])
        connection = extensions.get(CONNECTION_EXTENSION)
        task = asyncio.current_task() if connection is None else connection.task
        assert task is not None  # noqa: S101 -- an ASGI server runs every request in a task
        ctx = scope[CONTEXT_KEY] = RequestContext(
            request_id=request_id,
            endpoint=self._find(path, scope["raw_path"]) or UNKNOWN,
            lifeline=Lifeline(task),
            connection=connection,
            started=self._clock.monotonic(),
            method=scope["method"],
            path=path,
            fields=fields,
            peer=client[0] if client else "",
            client_request_id=_client_request_id(fields) if b"x-request-id" in fields else None,
            trace_id=trace_id_of(fields[b"traceparent"]) if b"traceparent" in fields else None,
            answer_headers=[(b"x-request-id", request_id.encode())],
        )
        return ctx


def leave(ctx: RequestContext) -> None:
    """The client has gone, or was shut out as it took nothing: note in which phase it went, and end the request."""
    if ctx.connection is not None and ctx.connection.slow:
        ctx.lifeline.cut(Cut.SLOW_CLIENT)
        return
    ctx.disconnect_phase = ctx.phase
    ctx.lifeline.cut(_CLIENT_GONE)


async def _answer(ctx: RequestContext, send: Send, message: Message) -> None:
    """`send`, with the request's own fields on the answer and its size and status noted."""
    if message["type"] == "http.response.start":
        ctx.answer_started = True
        ctx.status = message["status"]
        message["headers"] = message["headers"] + ctx.answer_headers
    else:
        ctx.bytes_out += len(message.get("body", b""))
        ctx.answer_complete = not message.get("more_body", False)
    await send(message)


def _conclude(ctx: RequestContext) -> None:
    if ctx.lifeline.reason is _CLIENT_GONE and not ctx.answer_started:
        ctx.status = CLIENT_CLOSED_REQUEST
    if not ctx.outcome:
        ctx.outcome = "ok" if ctx.answer_complete else ctx.lifeline.reason or "incomplete"
    if ctx.disconnect_phase is None:
        ctx.phase = _DONE


def _client_request_id(fields: Fields) -> str | None:
    value = fields[b"x-request-id"]
    return value.decode("ascii") if CLIENT_REQUEST_ID.fullmatch(value) else None
