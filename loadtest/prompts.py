"""What do people ask? Short and long prompts, with tools and without, and the bodies of the other endpoints."""

from collections.abc import Mapping
from typing import Any, Final

Body = Mapping[str, Any]

QUESTION: Final = "Which warehouse shipped the most parcels last week?"
LONG: Final = "The parcel left the warehouse on time and arrived a day late because of the weather. " * 60
"""About 1,000 tokens."""
TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def chat(content: str, *, stream: bool, **fields: object) -> Body:
    """A chat request to the fleet's chat model."""
    messages = [{"role": "user", "content": content}]
    return {"model": "qwen", "messages": messages, "max_tokens": 64, "stream": stream, **fields}


CHATS: Final[Mapping[str, Body]] = {
    "chat short": chat(QUESTION, stream=True),
    "chat long": chat(f"Sum this up: {LONG}", stream=True),
    "chat tools": chat("What is the weather in Bergen?", stream=True, tools=TOOLS),
}
"""Streams, by the name that their figures carry."""
WHOLE: Final = chat(QUESTION, stream=False)
SQL: Final[Body] = {
    "model": "text2sql",
    "messages": [{"role": "user", "content": f"CREATE TABLE parcels (id int, warehouse text, at date); {QUESTION}"}],
    "max_tokens": 64,
}
EMBEDDINGS: Final[Body] = {"model": "snowflake-arctic-embed", "input": [QUESTION, LONG[:400]]}
RERANK: Final[Body] = {
    "model": "bge-reranker-v2-m3",
    "query": QUESTION,
    "documents": [LONG[:200], QUESTION, "Nothing of the kind."],
}
