"""What do vLLM's answers look like? The shapes that several tests share, stated once."""

import re
from typing import Any

from tests.contract.shapes import either

MESSAGES = [{"role": "user", "content": "hi"}]
TOO_LONG = "hello " * 9000
FAR_TOO_LONG = "hello " * 30000

NOT_FOUND = {"detail": "Not Found"}
METHOD_NOT_ALLOWED = {"detail": "Method Not Allowed"}
UNREADABLE = {"detail": "There was an error parsing the body"}
UNAUTHORIZED = {"error": "Unauthorized"}

INVALID = re.compile(r"\d+ validation errors?:\n  \{'type': '\w+', 'loc': 'body.*", re.DOTALL)
CONTEXT_TOKENS = re.compile(
    r"This model's maximum context length is 8192 tokens\. However, your prompt contains at least 8193 input tokens, "
    r"which exceeds this limit even without any output tokens\. .*\(parameter=input_tokens, value=8193\)"
)
CONTEXT_CHARACTERS = re.compile(
    r"This model's maximum context length is 8192 tokens\. However, your prompt contains \d+ characters .*"
    r"\(parameter=input_text, value=\d+\)"
)

USAGE = {"prompt_tokens": int, "total_tokens": int, "completion_tokens": int}
USAGE_DETAILED = USAGE | {"prompt_tokens_details": None, "completion_tokens_details": None}


def identifier(prefix: str) -> re.Pattern[str]:
    """An id that the server made: the prefix and 16 hexadecimal digits."""
    return re.compile(rf"{prefix}[0-9a-f]{{16}}")


def error(status: int, kind: str, message: Any, param: str | None) -> dict[str, Any]:
    """OpenAI's envelope as vLLM fills it: `code` is the HTTP status as a number."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def refused(message: Any, param: str | None = None) -> dict[str, Any]:
    """What a handler refuses with 400."""
    return error(400, "BadRequestError", message, param)


def invalid(param: str) -> dict[str, Any]:
    """What validation refuses with 400 (never 422); `param` is where the first mistake is."""
    return error(400, "Bad Request", INVALID, param)


def anthropic_error(kind: str, message: Any) -> dict[str, Any]:
    """The envelope of /v1/messages for what its handler refuses."""
    return {"type": "error", "error": {"type": kind, "message": message}}


def no_such_model(model: str) -> dict[str, Any]:
    """404 on the generating paths, which name the aliases."""
    return error(404, "NotFoundError", f"The model `nope` does not exist. Valid aliases: {model}.", "model")


NO_SUCH_POOLING_MODEL = error(404, "NotFoundError", "The model `nope` does not exist.", None)

TEXT_OR_NOTHING = either({"content": str}, {})
