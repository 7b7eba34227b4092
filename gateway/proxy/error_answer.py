"""What does a backend's answer mean for our client? Its errors passed on, translated, or taken to another replica."""

from http import HTTPStatus
from typing import Any

import msgspec

from gateway.core.endpoint import Dialect
from gateway.core.envelope import error_body
from gateway.core.errors import BadGatewayError, GatewayError

DRAINING = "cannot schedule new futures after shutdown"
"""What a draining vLLM says, word for word, as a 500, to requests it will never run (seen on 0.32.0)."""
CREDENTIALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
REFUSALS = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


MAX_STATUS = 600
NOT_THE_CALLERS = CREDENTIALS | {HTTPStatus.TOO_MANY_REQUESTS}
"""Statuses that would speak of the caller's key or limit, where the backend speaks of ours."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Inner(msgspec.Struct):
    message: str = ""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _Answer(msgspec.Struct):
    """An error in any of its forms; older releases of vLLM put the members of `error` beside `"object": "error"`."""

    error: _Inner | str | None = None
    detail: Any = "The model server gave no reason."
    type: str | None = None
    object: str | None = None
    message: str = ""
    param: str | None = None
    code: str | int | None = None

    def inner(self) -> _Inner | str | None:
        """What it says of the error, wherever it stands."""
        if self.error is None and self.object == "error":
            return _Inner(self.message, self.type, self.param, self.code)
        return self.error


_answer = msgspec.json.Decoder(_Answer)


class StatedError(GatewayError):
    """A backend's own error, put into the caller's dialect with its status."""

    def __init__(self, status: int, kind: str, code: str, message: str, param: str | None) -> None:
        failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        super().__init__(message, param=param, should_retry=False if failed else None)
        self.status = status
        self.type = kind
        self.code = code

    @property
    def outcome(self) -> str:
        """The status: what backends call their errors is no bounded set."""
        return f"backend_{self.status}"


def refused(status: int, body: bytes) -> bool:
    """Whether the backend states that it has not run the request and will not: another replica may."""
    if status in REFUSALS:
        return True
    if status != HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    inner = _read(body).inner()
    return (inner.message if isinstance(inner, _Inner) else inner) == DRAINING


def translate(status: int, body: bytes, dialect: Dialect, request_id: str) -> bytes:
    """The body of a backend's error answer as our client should see it.

    OpenAI's envelope passes unchanged on OpenAI's paths, Anthropic's on Anthropic's; vLLM's string errors, its
    `detail` and the wrong dialect's form (its validation errors on `/v1/messages`) are put into the path's own.

    Raises:
        BadGatewayError: the backend refused our own key, or its answer is no error that could be shown.
    """
    answer = _readable(status, body)
    if isinstance(answer.error, _Inner) and (answer.type == "error") is (dialect is Dialect.ANTHROPIC):
        return body
    return error_body(_stated(status, answer), dialect, request_id)


def stated(status: int, body: bytes) -> StatedError:
    """A backend's error answer as a failure, for a client that has its head already; raises what `translate` does."""
    return _stated(status, _readable(status, body))


def stated_inside(data: bytes) -> StatedError:
    """The error that a body or an event of a 200 states, with the status that it states itself, or else 502.

    What only vLLM's engine refuses (too many logprobs) comes so in a stream.
    """
    answer = _read(data)
    inner = answer.inner()
    code = inner.code if isinstance(inner, _Inner) else None
    known = isinstance(code, int) and HTTPStatus.BAD_REQUEST <= code < MAX_STATUS and code not in NOT_THE_CALLERS
    return _stated(int(code) if known and code is not None else int(HTTPStatus.BAD_GATEWAY), answer)


def only_error(piece: bytes) -> StatedError | None:
    """The error that a stream consists of, None where another event came before it.

    Nothing has gone to the client yet, so it can have the status that a request without streaming gets.
    """
    data = [line[5:] for line in piece.split(b"\n") if line.startswith(b"data:")]
    return stated_inside(data[0]) if len(data) == 1 else None


def _readable(status: int, body: bytes) -> _Answer:
    if status in CREDENTIALS:
        raise BadGatewayError("The model server refused the gateway's credentials.", should_retry=False)
    try:
        return _answer.decode(body)
    except UNREADABLE:
        raise BadGatewayError(f"The model server answered {status} without a readable reason.") from None


def _read(body: bytes) -> _Answer:
    try:
        return _answer.decode(body)
    except UNREADABLE:
        return _Answer()


def _stated(status: int, answer: _Answer) -> StatedError:
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    inner = answer.inner()
    if isinstance(inner, _Inner):
        return StatedError(status, inner.type or kind, str(inner.code or status), inner.message, inner.param)
    message = inner if isinstance(inner, str) else _text(answer.detail)
    return StatedError(status, kind, str(status), message, None)


def _text(detail: Any) -> str:  # noqa: ANN401 -- any JSON: FastAPI's `detail` is a text or a list of mistakes
    return detail if isinstance(detail, str) else msgspec.json.encode(detail).decode()
