"""How is a body read? As JSON and then field by field, coerced and refused as vLLM's own pydantic models do."""

import json  # noqa: TID251 -- vLLM's server parses with it: NaN passes, duplicate keys keep the last, nesting has a limit
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from gateway.simulator.errors import Refusal, Unreadable, bad_request, invalid_body

_MAX_REPORTED = 10
_MAX_INPUT = 200
_MAX_SALT = 128
_NOT_IN_SALT = frozenset("@/\\\0")


def missing(title: str, data: object, names: Sequence[str]) -> ValidationError:
    """What pydantic says when none of several models fits: each field that one of them would need."""
    details = [InitErrorDetails(type="missing", loc=(name,), input=data) for name in names]
    return ValidationError.from_exception_data(title, details)


class Body(BaseModel):
    """Fields that nobody reads are accepted and ignored."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = None


class Salted(Body):
    """A body whose prompt may be kept apart from others in the prefix cache."""

    cache_salt: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _sound_salt(cls, data: Any) -> Any:  # noqa: ANN401 -- not validated yet
        if isinstance(data, dict) and (fault := fault_of_salt(data.get("cache_salt"))):
            raise broken_rule(fault, "cache_salt")
        return data


def fault_of_salt(salt: object) -> str | None:
    """What is wrong with a cache salt, if anything is."""
    if salt is None:
        return None
    if not isinstance(salt, str) or not salt:
        return "Parameter 'cache_salt' must be a non-empty string if provided."
    if len(salt) > _MAX_SALT or not _NOT_IN_SALT.isdisjoint(salt):
        return (
            f"Parameter 'cache_salt' must be at most {_MAX_SALT} characters and must not contain '@', '/', "
            "'\\\\', or NUL."
        )
    return None


AnyBody = TypeVar("AnyBody", bound=BaseModel)


def parse_json(content_type: str | None, data: bytes) -> object:
    """The body as JSON.

    Raises:
        Refusal: 400 for another content type or for what is not JSON.
        Unreadable: the parser gave up.
    """
    if (content_type or "").lower().split(";", 1)[0] != "application/json":
        raise _listed(["Unsupported Media Type: Only 'application/json' is allowed"], None)
    if not data:
        return None
    try:
        parsed: object = json.loads(data)
    except json.JSONDecodeError as error:
        details = {
            "type": "json_invalid",
            "loc": f"body.{error.pos}",
            "msg": "JSON decode error",
            "input": "<dict of 0 items>",
            "ctx": {"error": error.msg},
        }
        raise _listed([details], f"body.{error.pos}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, too many digits, too deep
        raise Unreadable from error
    return parsed


def broken_rule(message: str, param: str) -> Refusal:
    """A rule about several fields: not pydantic's to word, and raised before the handler runs."""
    return bad_request(message, param, in_handler=False)


def validate(kind: type[AnyBody], data: object) -> AnyBody:
    """The body's fields.

    Raises:
        Refusal: 400 with each wrong field and pydantic's word for it.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _refused(error) from error


def _refused(error: ValidationError) -> Refusal:
    details = []
    param = None
    for found in error.errors(include_url=False):
        loc = ".".join(["body", *(str(part) for part in found["loc"] if _means_something(str(part)))])
        param = param or loc
        details.append({**found, "loc": loc, "input": _summary(found["input"])})
    return _listed(details, param)


def _listed(details: list[Any], param: str | None) -> Refusal:
    count = len(details)
    noun = "error" if count == 1 else "errors"
    lines = [f"{count} validation {noun}:", *(f"  {detail}" for detail in details[:_MAX_REPORTED])]
    if count > _MAX_REPORTED:
        lines.append(f"  ...and {count - _MAX_REPORTED} more {noun}")
    return invalid_body("\n".join(lines), param)


def _means_something(part: str) -> bool:
    """Pydantic names the branch of a union in the place of an error; a client has no use for it."""
    return not any(sign in part for sign in "[](){}") and part not in ("str", "int", "float", "bool", "dict", "list")


def _summary(value: object) -> object:
    if isinstance(value, dict | list):
        return f"<{type(value).__name__} of {len(value)} items>"
    text = str(value)
    return text if len(text) <= _MAX_INPUT else text[:_MAX_INPUT] + "...[truncated]"
