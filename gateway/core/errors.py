"""What can go wrong for a caller? Failures as types that know their status, code and what a retry would bring."""

from typing import Any

from gateway.core.asgi import Headers
from gateway.core.refusal import Refusal


class GatewayError(Exception):
    """An expected failure, rendered by exactly one place (`core.envelope`) in the caller's dialect.

    Attributes:
        status: HTTP status of the answer, when the answer has not begun.
        type: `error.type` of OpenAI's envelope.
        code: `error.code`: a stable word that programs may compare.
        param: the request field at fault, if one is.
        retry_after: seconds until a retry may succeed; None says nothing about it.
        should_retry: False tells an SDK (`x-should-retry`) that a retry cannot help; None leaves it to the status.
        headers: further fields of the answer that states this failure.
        refusal: which limit or state it is about, where the request was refused for one.
    """

    status = 500
    type = "server_error"
    code = "internal_error"
    refusal: Refusal | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.headers: Headers = headers or []

    @property
    def outcome(self) -> str:
        """The word for logs and metrics, from a bounded set."""
        return self.code


class BadRequestError(GatewayError):
    """The request itself is at fault; no backend has seen it."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class InvalidJsonError(BadRequestError):
    """The body is not a JSON object that could be read."""

    code = "invalid_json"


class UnsupportedFeatureError(BadRequestError):
    """A field asks for what this fleet does not offer (state in one replica, images for a text model, ...)."""

    code = "unsupported_feature"


class WrongModelKindError(BadRequestError):
    """The model exists, but does not serve this path."""

    code = "model_not_supported"


class InvalidApiKeyError(GatewayError):
    """Missing, unknown, revoked, expired or malformed key: one and the same answer for all of them."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class PermissionDeniedError(GatewayError):
    """The key is valid, and does not allow this; OpenAI's SDKs have an exception of that name for every 403."""

    status = 403
    type = "permission_error"
    code = "permission_denied"


class ModelNotAllowedError(PermissionDeniedError):
    """The model exists, and is none of those that the key may use."""

    code = "model_not_allowed"


NO_SUCH_PATH = "This gateway has no such path; see /docs for those it has."


class NotFoundError(GatewayError):
    """No such path."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFoundError(NotFoundError):
    """No such model."""

    code = "model_not_found"


class MethodNotAllowedError(GatewayError):
    """The path exists, the method does not."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class BodyTimeoutError(GatewayError):
    """The body did not arrive in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class PayloadTooLargeError(GatewayError):
    """The body is over MAX_REQUEST_BODY_BYTES."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class UnsupportedEncodingError(GatewayError):
    """The body is compressed; what is no JSON is an `InvalidJsonError`."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class HeadTooLargeError(GatewayError):
    """The request line and headers are over CLIENT_MAX_HEADER_BYTES, or too many."""

    status = 431
    type = "invalid_request_error"
    code = "headers_too_large"


class RateLimitedError(GatewayError):
    """The caller's own limit; never the fleet's state."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    refusal = Refusal.RATE


class QueueFullError(RateLimitedError):
    """The caller's admission queue is full."""

    code = "queue_full"
    refusal = Refusal.QUEUE_FULL


class QueueTimeoutError(RateLimitedError):
    """No slot became free within QUEUE_TIMEOUT_SECS."""

    code = "queue_timeout"
    refusal = Refusal.QUEUE_TIMEOUT


class UnavailableError(GatewayError):
    """The fleet's state: no backend of the group takes work now."""

    status = 503
    type = "server_error"
    code = "service_unavailable"


class ShuttingDownError(UnavailableError):
    """This gateway process is going away."""

    code = "server_shutting_down"
    refusal = Refusal.SHUTTING_DOWN


class BadGatewayError(GatewayError):
    """The backend's fault; its GPU may have worked, so a retry could pay twice and is advised against."""

    status = 502
    type = "server_error"
    code = "bad_gateway"

    def __init__(self, message: str, *, should_retry: bool | None = False, **rest: Any) -> None:  # noqa: ANN401 -- the base's
        super().__init__(message, should_retry=should_retry, **rest)


class GatewayTimeoutError(GatewayError):
    """The backend was silent, or the request lived, for too long."""

    status = 504
    type = "server_error"
    code = "gateway_timeout"


class RequestLifetimeError(GatewayTimeoutError):
    """MAX_REQUEST_SECS are over."""

    code = "request_lifetime_exceeded"


class FirstTokenTimeoutError(GatewayTimeoutError):
    """FIRST_TOKEN_TIMEOUT_SECS are over."""

    code = "first_token_timeout"


class StreamIdleError(GatewayTimeoutError):
    """No token for STREAM_IDLE_TIMEOUT_SECS."""

    code = "stream_idle_timeout"
