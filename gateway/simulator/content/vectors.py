"""What do the pooling models say? Vectors and scores that follow the words of a text."""

import math
import zlib
from collections.abc import Iterator

from gateway.simulator.content.words import keywords, stem, words

_GRAM = 3
_WORD_WEIGHT = 2.0
_STEEPNESS = 9.0
_MIDDLE = 0.4


def embedding(text: str, dimensions: int) -> list[float]:
    """A unit vector: hashed words and three-letter pieces of them, so that similar texts point the same way."""
    vector = [0.0] * dimensions
    for feature, weight in _features(text):
        number = zlib.crc32(feature.encode("utf-8", "replace"))
        vector[number % dimensions] += weight if number & 0x8000_0000 else -weight
    return unit(vector)


def unit(vector: list[float]) -> list[float]:
    """The vector scaled to length 1."""
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else vector


def cosine(first: list[float], second: list[float]) -> float:
    """How alike two unit vectors are, from -1 to 1."""
    return sum(a * b for a, b in zip(first, second, strict=True))


def logit(query: str, document: str) -> float:
    """The reranker's raw score: the share of the query's keywords that the document has, stretched around zero."""
    asked = {stem(word) for word in keywords(query, 64)} or {stem(word) for word in words(query)}
    if not asked:
        return -_STEEPNESS * _MIDDLE
    held = [stem(word) for word in words(document)]
    share = len(asked & set(held)) / len(asked)
    density = sum(word in asked for word in held) / (len(held) + 8)
    return _STEEPNESS * (share + 0.2 * density - _MIDDLE)


def sigmoid(value: float) -> float:
    """The score as the server gives it, from 0 to 1."""
    return 1.0 / (1.0 + math.exp(-value))


def _features(text: str) -> Iterator[tuple[str, float]]:
    yield "<s>", 0.1
    for word in words(text):
        yield stem(word), _WORD_WEIGHT
        padded = f"<{word}>"
        for start in range(len(padded) - _GRAM + 1):
            yield padded[start : start + _GRAM], 1.0
