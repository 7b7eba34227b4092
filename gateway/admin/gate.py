"""Who may ask, and with how much? Keys, bodies and failures of all paths of the control process."""

import hashlib
import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway.core.asgi import ASGIApp, Fields, Headers, Message, Receive, Scope, Send, fields_of
from gateway.core.control_wire import MAX_BODY_BYTES, PRINCIPAL_HEADER
from gateway.core.endpoint import Dialect
from gateway.core.envelope import error_body, error_headers
from gateway.core.errors import (
    BadRequestError,
    GatewayError,
    InvalidApiKeyError,
    InvalidJsonError,
    MethodNotAllowedError,
    NotFoundError,
    PayloadTooLargeError,
)
from gateway.database.errors import DatabaseUnavailableError

MAX_ACTOR = 64
ACTOR = "gateway.actor"
CALLER = "gateway.caller"
BEARER = b"bearer "
CLIENTS_PATH = "/v1/usage"

logger = logging.getLogger(__name__)


class Caller(msgspec.Struct, frozen=True):
    """The client that a worker relays for: whom its requests count for, and its key's id, empty without one."""

    organization: str
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """The outermost layer: checks who asks, reads the whole body, and says every failure in OpenAI's envelope.

    Attributes:
        app: raises `GatewayError` and FastAPI's own for failures, with nothing sent.
        keys: SHA-256 of each administrator's key; none: there is no admin API.
    """

    app: ASGIApp
    keys: Sequence[bytes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError("the admin API speaks HTTP alone")
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            fields = fields_of(scope["headers"])
            known = {**scope, **self._admit(scope["path"], fields)}
            if known["method"] == "HEAD":
                known["method"] = "GET"  # the same answer; the server, which knows the method, leaves the body out
            body = normal(await read(receive, fields))
            await self.app(as_json(known), replay(body), watched)
        except Exception as error:  # the one place where failures of these paths become answers
            failure = translated(error)
            if isinstance(failure, DatabaseUnavailableError) and scope["path"] != CLIENTS_PATH:
                failure.message = str(failure)
            if begun:
                raise
            if failure.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                logger.exception("admin_failed", extra={"path": scope["path"]})
            await refuse(failure, send)

    def _admit(self, path: str, fields: Fields) -> dict[str, Any]:
        """What is added to the scope for whoever may ask.

        Raises:
            InvalidApiKeyError: nobody may, without a key that is known.
            NotFoundError: there is no admin API.
        """
        if path == CLIENTS_PATH:
            return {CALLER: caller_of(fields)}
        if not self.keys:
            raise NotFoundError("This gateway has no such path.")
        shown = fields.get(b"x-admin-key")
        if shown is None:
            authorization = fields.get(b"authorization", b"")
            is_bearer = authorization[: len(BEARER)].lower() == BEARER
            shown = authorization[len(BEARER) :].strip() if is_bearer else b""
        # All of them are compared, whichever fits: how long it takes tells nothing.
        digest = hashlib.sha256(shown).digest()
        fitting = [number for number, key in enumerate(self.keys, 1) if hmac.compare_digest(key, digest)]
        if not fitting:
            raise InvalidApiKeyError(
                "The admin key is missing or wrong: send it as X-Admin-Key.", headers=[(b"www-authenticate", b"Bearer")]
            )
        return {ACTOR: actor_of(fields, fitting[0])}


def caller_of(fields: Fields) -> Caller:
    """The client whom the relaying worker names."""
    try:
        return msgspec.json.decode(fields.get(PRINCIPAL_HEADER, b""), type=Caller)
    except msgspec.DecodeError:
        raise InvalidApiKeyError("The API key is missing or wrong.") from None


def actor_of(fields: Fields, number: int) -> str:
    """Who asks, for the audit trail: which admin key, by its place in the setting, and the name that was given."""
    name = fields.get(b"x-admin-actor", b"").decode("latin-1")
    if not name:
        return f"admin-key-{number}"
    if len(name) > MAX_ACTOR or not name.isascii() or not name.isprintable():
        raise BadRequestError(
            f"X-Admin-Actor takes up to {MAX_ACTOR} printable ASCII characters.", param="x-admin-actor"
        )
    return f"{name} (admin-key-{number})"


async def read(receive: Receive, fields: Fields) -> bytes:
    """The whole body.

    Raises:
        PayloadTooLargeError: it has more than MAX_BODY_BYTES.
        BadRequestError: the client left.
    """
    stated = fields.get(b"content-length", b"0")
    if stated.isdigit() and int(stated) > MAX_BODY_BYTES:
        raise too_large()
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequestError("The body has not come whole.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise too_large()
        if not message.get("more_body", False):
            return b"".join(parts)


def too_large() -> PayloadTooLargeError:
    """The refusal; the connection ends with it, as the rest of the body would be taken for a request."""
    return PayloadTooLargeError(f"The body has more than {MAX_BODY_BYTES} bytes.", headers=[(b"connection", b"close")])


def normal(body: bytes) -> bytes:
    """The same JSON as orjson writes it: no NaN, no lone surrogates, no number that nothing else here could hold.

    Raises:
        InvalidJsonError: it is none.
    """
    if not body:
        return body
    try:
        return orjson.dumps(orjson.loads(body))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        raise InvalidJsonError("The body is not JSON.") from None


def as_json(scope: Scope) -> Scope:
    """The scope, with the one content type that there is here: whoever sends a key means no browser's form."""
    kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    return {**scope, "headers": [*kept, (b"content-type", b"application/json")]}


def replay(body: bytes) -> Receive:
    """A `receive` that gives the body that was read."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def translated(error: Exception) -> GatewayError:
    """Any failure in the gateway's words; a defect becomes a 500 that shows nothing of it."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, RequestValidationError):
        return unfit(error)
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allow = (error.headers or {}).get("Allow", "")
        return MethodNotAllowedError("The path has no such method.", headers=[(b"allow", allow.encode())])
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.NOT_FOUND:
        return NotFoundError("This gateway has no such path.")
    return GatewayError("A defect of the gateway: its log says more.")


def unfit(error: RequestValidationError) -> BadRequestError:
    """The first of what is wrong with a request, with the field's name; what was sent is not repeated."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part not in {"body", "query", "path", "header"}]
    param = ".".join(where) or None
    words = "unknown field" if first["type"] == "extra_forbidden" else str(first["msg"]).removeprefix("Value error, ")
    return BadRequestError(f"{param}: {words}" if param else words, param=param)


async def refuse(error: GatewayError, send: Send) -> None:
    """Answer with a failure."""
    body = error_body(error, Dialect.OPENAI, "")
    stated: Headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers = [*stated, *error_headers(error), *error.headers]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
