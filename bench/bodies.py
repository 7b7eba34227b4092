"""What does a client send? Request bodies of a stated size."""

from itertools import cycle, islice

import orjson

from bench.peers import EMBED_MODEL, MODEL

WORDS = 'The gateway passes every byte on, counts what was asked for, and says "no" when that is the answer.\n'
TURN_LENGTH = 5_000
"""Characters of a turn of a long conversation."""


def conversation(size: int) -> bytes:
    """A chat request of `size` bytes at the most and nearly as many, in turns of a few KB as long ones have."""
    overhead = len(_chat([""]))
    turns = max(1, round(size / TURN_LENGTH))
    length = (size - overhead) // turns
    texts = [_text(length) for _ in range(turns)]
    while len(body := _chat(texts)) > size:  # what JSON adds: escapes, and a frame around each turn
        excess = -((size - len(body)) // turns)
        texts = [text[: len(text) - excess] for text in texts]
    return body


def batch(inputs: int) -> bytes:
    """An embeddings request with so many inputs of a sentence each, with numbers of eight digits before them."""
    return orjson.dumps({"model": EMBED_MODEL, "input": [f"{number:08}: {WORDS}" for number in range(inputs)]})


def _text(length: int) -> str:
    return "".join(islice(cycle(WORDS), length))


def _chat(texts: list[str]) -> bytes:
    roles = cycle(("user", "assistant"))
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return orjson.dumps({"model": MODEL, "messages": messages, "max_tokens": 64})
