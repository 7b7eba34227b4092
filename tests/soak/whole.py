"""Is all of an answer there? Its tokens against those that were asked for, and against what it says of itself."""

from collections.abc import Iterator
from typing import Any

import orjson

from gateway.simulator.tokens import count

DONE = b"data: [DONE]\n\n"
EVENT = b"data: {"


def generation_is_whole(body: bytes) -> bool:
    """Whether a chat's or completion's answer has its end."""
    return body.endswith(DONE) or (body.startswith(b"{") and b'"finish_reason"' in body)


def tokens_missing(body: bytes, asked: int) -> int:
    """How many tokens an answer that has its end lacks, in its text or in its `usage`."""
    chunks = [orjson.loads(body)] if body.startswith(b"{") else list(_chunks(body))
    stated: int = sum(chunk["usage"]["completion_tokens"] for chunk in chunks if chunk.get("usage"))
    return max(asked, stated) - min(stated, sum(map(_tokens, chunks)))


def _chunks(body: bytes) -> Iterator[dict[str, Any]]:
    for event in body.split(b"\n\n"):
        if event.startswith(EVENT):
            yield orjson.loads(event.removeprefix(b"data: "))


def _tokens(chunk: dict[str, Any]) -> int:
    """An engine whose client is behind puts several tokens into one chunk, so they are counted, not the chunks."""
    return sum(count(_text(choice)) for choice in chunk["choices"])


def _text(choice: dict[str, Any]) -> str:
    said = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
    return said.get("content") or ""
