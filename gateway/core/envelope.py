"""How is a failure spelled? One place renders errors, in the dialect of the path, whole or as a stream's last event."""

import math
from http import HTTPStatus

import orjson

from gateway.core.asgi import Headers
from gateway.core.endpoint import Dialect
from gateway.core.errors import GatewayError

MAX_RETRY_AFTER_SECS = 60
"""SDKs honour `retry-after` up to a bound (60 s in older openai-python, 120 s now) and give up above it."""

ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""Anthropic's error types by status; everything else is `api_error`."""


def error_body(error: GatewayError, dialect: Dialect, request_id: str) -> bytes:
    """The JSON body that states `error`: OpenAI's envelope or Anthropic's, both with readable words."""
    if dialect is Dialect.ANTHROPIC:
        fallback = "invalid_request_error" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "api_error"
        kind = ANTHROPIC_TYPES.get(error.status, fallback)
        inner = {"type": kind, "message": error.message}
        return orjson.dumps({"type": "error", "error": inner, "request_id": request_id})
    inner_openai = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return orjson.dumps({"error": inner_openai})


def error_event(error: GatewayError, dialect: Dialect, request_id: str) -> bytes:
    """The same failure as the last event of a stream whose headers are gone; no end marker follows it.

    openai-python and openai-node raise on any event with a truthy `error`, Anthropic's SDKs on `event: error`.
    """
    body = error_body(error, dialect, request_id)
    name = b"" if dialect is Dialect.OPENAI else b"event: error\n"
    return b"%bdata: %b\n\n" % (name, body)


def error_headers(error: GatewayError) -> Headers:
    """`retry-after` in whole seconds (60 at the most), `retry-after-ms`, and `x-should-retry` where it is known."""
    headers: Headers = []
    if error.retry_after is not None:
        seconds = min(max(error.retry_after, 0.0), MAX_RETRY_AFTER_SECS)
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(seconds))))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(seconds * 1000)))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    return headers
