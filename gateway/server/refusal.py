"""What does a client hear whose request never reached the application? A whole answer, in OpenAI's envelope."""

from http import HTTPStatus

from gateway.core.endpoint import Dialect
from gateway.core.envelope import error_body, error_headers
from gateway.core.errors import GatewayError

PHRASES = {status.value: status.phrase for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """`HTTP/1.1 404 Not Found`, without its line end; a number that nobody registered has no phrase."""
    return f"HTTP/1.1 {status} {PHRASES.get(status, '')}".encode()


def refusal(error: GatewayError, request_id: str, date_line: bytes) -> bytes:
    """The complete answer that states `error` and closes the connection."""
    body = error_body(error, Dialect.OPENAI, request_id)
    lines = [
        status_line(error.status),
        date_line,
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"x-request-id: %b" % request_id.encode(),
        *(b"%b: %b" % field for field in error_headers(error)),
        b"connection: close",
        b"",
        body,
    ]
    return b"\r\n".join(lines)
