"""What may one ask with OpenAI's Python client? Every endpoint it knows, whole and streamed, and what comes back."""

from collections.abc import Callable
from typing import Any

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

QUESTION: Any = [{"role": "user", "content": "What is a gateway?"}]
TABLE: Any = [{"role": "user", "content": "How many rows has table users(id, name)?"}]
Call = Callable[[Any], Any]
"""Takes a client and makes one call: of the synchronous client an answer, of the asynchronous one an awaitable."""


def _sql_by_path(client: Any) -> Any:
    return client.post("/text2sql", body={"messages": TABLE}, cast_to=ChatCompletion)


def _sql_streamed(client: Any) -> Any:
    kind = openai.AsyncStream if isinstance(client, openai.AsyncOpenAI) else openai.Stream
    body = {"messages": TABLE, "stream": True}
    return client.post(
        "/text2sql", body=body, cast_to=ChatCompletionChunk, stream=True, stream_cls=kind[ChatCompletionChunk]
    )


WHOLE: dict[str, tuple[Call, Callable[[Any], Any]]] = {
    "chat": (
        lambda client: client.chat.completions.create(model="qwen", messages=QUESTION, max_tokens=8),
        lambda answer: answer.model == "qwen" and answer.choices[0].message.content and answer.usage.total_tokens,
    ),
    "completions": (
        lambda client: client.completions.create(model="qwen", prompt="Once", max_tokens=8),
        lambda answer: answer.model == "qwen" and answer.choices[0].text,
    ),
    "responses": (
        lambda client: client.responses.create(model="Qwen/Qwen2.5-7B-Instruct", input="Hello", max_output_tokens=8),
        lambda answer: answer.model == "Qwen/Qwen2.5-7B-Instruct" and answer.output_text,
    ),
    "embeddings": (
        lambda client: client.embeddings.create(model="snowflake-arctic-embed", input=["a cat", "income tax"]),
        lambda answer: [len(row.embedding) for row in answer.data] == [1024, 1024],
    ),
    "models": (
        lambda client: client.models.retrieve("Qwen/Qwen2.5-7B-Instruct"),
        lambda answer: answer.id == "Qwen/Qwen2.5-7B-Instruct",
    ),
    "text2sql by model": (
        lambda client: client.chat.completions.create(model="text2sql", messages=TABLE),
        lambda answer: answer.model == "text2sql" and "SELECT" in answer.choices[0].message.content,
    ),
    "text2sql by path": (_sql_by_path, lambda answer: "SELECT" in answer.choices[0].message.content),
}
"""By name: a call, and what is true of its answer."""


def _chat_text(events: list[Any]) -> str:
    return "".join(event.choices[0].delta.content or "" for event in events if event.choices)


STREAMED: dict[str, tuple[Call, Callable[[list[Any]], Any]]] = {
    "chat": (
        lambda client: client.chat.completions.create(
            model="qwen", messages=QUESTION, max_tokens=8, stream=True, stream_options={"include_usage": True}
        ),
        lambda events: _chat_text(events) and events[-1].usage.completion_tokens > 0,
    ),
    "completions": (
        lambda client: client.completions.create(model="qwen", prompt="Once", max_tokens=8, stream=True),
        lambda events: "".join(event.choices[0].text for event in events if event.choices),
    ),
    "responses": (
        lambda client: client.responses.create(model="qwen", input="Hello", max_output_tokens=8, stream=True),
        lambda events: (
            events[0].type == "response.created" and events[-1].type in {"response.completed", "response.incomplete"}
        ),
    ),
    "text2sql by model": (
        lambda client: client.chat.completions.create(model="text2sql", messages=TABLE, stream=True),
        lambda events: "SELECT" in _chat_text(events) and {event.model for event in events} == {"text2sql"},
    ),
    "text2sql by path": (_sql_streamed, lambda events: "SELECT" in _chat_text(events)),
}
"""By name: a call that makes a stream, and what is true of its events."""
