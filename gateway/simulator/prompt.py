"""What does the model read? A conversation as one text, in the form of the Qwen family, and what was asked last."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.simulator.errors import Refusal, bad_request

_SYSTEM = "You are a helpful assistant."
_TOOLS = "\n\n# Tools\n\nYou may call these functions:\n"

Message = Mapping[str, Any]


def render(messages: Sequence[Message], tools: Sequence[object], model: str) -> str:
    """The whole prompt, ending where the assistant is to speak.

    Raises:
        Refusal: 400 where there is no message, or one carries an image, a sound or a film.
    """
    if not messages:
        raise bad_request("Cannot apply chat template to an empty conversation. Provide at least one message.")
    turns = [(str(message.get("role", "user")), _spoken(message, model)) for message in messages]
    if turns[0][0] != "system":
        turns.insert(0, ("system", _SYSTEM))
    if tools:
        listed = "\n".join(orjson.dumps(tool).decode() for tool in tools)
        turns[0] = ("system", turns[0][1] + _TOOLS + listed)
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns) + "<|im_start|>assistant\n"


def text_of(content: object, model: str) -> str:
    """A message's content: a text, or the text parts of a list.

    Raises:
        Refusal: 400 for any other part: these models read text only.
    """
    if content is None:
        return ""
    if not isinstance(content, list):
        return content if isinstance(content, str) else str(content)
    return "\n".join(_text_of_part(part, model) for part in content)


def question(messages: Sequence[Message], model: str) -> str:
    """What the user said last."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"), model)
    return text_of(messages[-1].get("content"), model) if messages else ""


def tool_result(messages: Sequence[Message], model: str) -> str | None:
    """The result that the conversation ends with, if a tool spoke last."""
    if messages and messages[-1].get("role") == "tool":
        return text_of(messages[-1].get("content"), model)
    return None


def too_long(limit: int, count: int) -> Refusal:
    """A prompt over the context length. vLLM stops counting one token over the limit."""
    counted = min(count, limit + 1)
    qualifier = "at least " if count > limit else ""
    return bad_request(
        f"This model's maximum context length is {limit} tokens. However, your prompt contains {qualifier}{counted} "
        "input tokens, which exceeds this limit even without any output tokens. "
        "Please reduce the length of the input prompt.",
        "input_tokens",
        counted,
    )


def too_many_characters(limit: int, count: int, per_token: int) -> Refusal:
    """A text that is not even counted in tokens, so long is it."""
    most = limit * per_token
    return bad_request(
        f"This model's maximum context length is {limit} tokens. However, your prompt contains {count} characters "
        f"(more than {most} characters, which is the upper bound for {limit} input tokens). "
        "Please reduce the length of the input prompt.",
        "input_text",
        count,
    )


def _spoken(message: Message, model: str) -> str:
    text = text_of(message.get("content"), model)
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise bad_request("A message's tool calls are no list of calls.", "messages")
    for call in calls:
        text += f"\n<tool_call>\n{orjson.dumps(call.get('function')).decode()}\n</tool_call>"
    return text


def _text_of_part(part: object, model: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    raise bad_request(f"{model} is not a multimodal model")
