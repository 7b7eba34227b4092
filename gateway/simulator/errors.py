"""How does vLLM say no? Its error bodies, by status and dialect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import orjson

BUSY = "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance."
DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
DRAINING = "cannot schedule new futures after shutdown"


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 -- an answer to give, not something gone wrong
    """A request that gets an error body instead of an answer.

    Args:
        status: the HTTP status, and the body's `code`.
        kind: the body's `type`, such as `BadRequestError`.
        message: what the client reads.
        param: the field that is wrong, if one is.
        in_handler: raised by the endpoint, not by the body's validation: `/v1/messages` words only these its own way.
    """

    status: int
    kind: str
    message: str
    param: str | None = None
    in_handler: bool = True

    def openai(self) -> dict[str, object]:
        """The body on every path but `/v1/messages`."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}}

    def anthropic(self) -> dict[str, object]:
        """The body on `/v1/messages` when the handler raised it."""
        return {"type": "error", "error": {"type": self.kind, "message": self.message}}

    def in_band(self) -> bytes:
        """The event that ends a stream: with the blanks of Python's json.dumps, unlike the other events."""
        return (
            b'data: {"error": {"message": '
            + orjson.dumps(self.message)
            + b', "type": '
            + orjson.dumps(self.kind)
            + b', "param": '
            + orjson.dumps(self.param)
            + b', "code": %d}}\n\n' % self.status
        )


def bad_request(message: str, param: str | None = None, value: object = None, *, in_handler: bool = True) -> Refusal:
    """A body that parsed, and asks for what cannot be. vLLM repeats the parameter and its value in the message."""
    extras = [f"{name}={given}" for name, given in (("parameter", param), ("value", value)) if given is not None]
    told = f"{message} ({', '.join(extras)})" if extras else message
    return Refusal(400, "BadRequestError", told, param, in_handler)


def unstorable(param: str) -> Refusal:
    """What needs a store of past responses, which is off by default."""
    return Refusal(
        400,
        "invalid_request_error",
        f"This vLLM engine does not support `store=True` and therefore does not support the {param} mode. "
        "To enable these features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when launching "
        "the vLLM server.",
        param,
    )


def unknown_response(response_id: str) -> Refusal:
    """No past response is kept."""
    return Refusal(404, "invalid_request_error", f"Response with id '{response_id}' not found.", "response_id")


class Unreadable(Exception):  # noqa: N818 -- an answer to give, not something gone wrong
    """A body that the JSON parser gives up on: 400 with a bare `detail`."""


def invalid_body(message: str, param: str | None) -> Refusal:
    """A body that did not parse: vLLM answers 400 where FastAPI by itself would say 422."""
    return Refusal(400, HTTPStatus.BAD_REQUEST.phrase, message, param, in_handler=False)


def wrong_model(model: str, served: tuple[str, ...]) -> Refusal:
    """A generating server names its aliases and the field."""
    message = f"The model `{model}` does not exist. Valid aliases: {', '.join(served)}."
    return Refusal(404, "NotFoundError", message, "model")


def wrong_pooling_model(model: str) -> Refusal:
    """A pooling server names neither."""
    return Refusal(404, "NotFoundError", f"The model `{model}` does not exist.", None)


def busy() -> Refusal:
    """The queue cap, --max-num-queued-reqs, is reached."""
    return Refusal(503, HTTPStatus.SERVICE_UNAVAILABLE.phrase, BUSY)


def engine_dead() -> Refusal:
    """The engine process is gone."""
    return Refusal(500, "InternalServerError", DEAD)


def draining() -> Refusal:
    """The server has been told to stop and lets running requests finish."""
    return Refusal(500, "InternalServerError", DRAINING)


FORMS: Mapping[str, Callable[[], Refusal]] = {
    "queue_full": busy,
    "engine_dead": engine_dead,
    "draining": draining,
}
"""What the `status` fault can say in vLLM's own words."""


def any_status(status: int) -> Refusal:
    """A refusal with this status and the standard phrase for it."""
    phrase = HTTPStatus(status).phrase
    return Refusal(status, phrase, phrase)
