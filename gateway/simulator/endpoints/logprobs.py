"""How sure is the model? Made-up probabilities, the same ones for the same token."""

import math
import zlib
from collections.abc import Sequence

_OTHERS = (" the", " a", " of", " and", " in", " is", " to", " it", " that", " for", " as", " on", " be", " at", " by")


def of(piece: str) -> float:
    """The natural logarithm of the token's probability."""
    return -(zlib.crc32(piece.encode("utf-8", "replace")) % 1000) / 1000


def alternatives(piece: str, count: int) -> list[tuple[str, float]]:
    """The likeliest tokens at this place, the chosen one first."""
    others = [other for other in _OTHERS if other != piece]
    chosen = of(piece)
    return [(piece, chosen), *((other, chosen - 1 - rank) for rank, other in enumerate(others))][:count]


def chat(pieces: Sequence[str], top: int) -> dict[str, object]:
    """The `logprobs` of a chat choice."""
    return {
        "content": [
            {**_token(piece, of(piece)), "top_logprobs": [_token(*other) for other in alternatives(piece, top)]}
            for piece in pieces
        ]
    }


def completion(pieces: Sequence[str], top: int, offset: int) -> dict[str, object]:
    """The `logprobs` of a completion choice, whose text begins at this offset."""
    offsets = []
    for piece in pieces:
        offsets.append(offset)
        offset += len(piece)
    return {
        "text_offset": offsets,
        "token_logprobs": [of(piece) for piece in pieces],
        "tokens": list(pieces),
        "top_logprobs": [dict(alternatives(piece, max(top, 1))) for piece in pieces],
    }


def _token(piece: str, logprob: float) -> dict[str, object]:
    return {"token": piece, "logprob": max(logprob, -math.inf), "bytes": list(piece.encode("utf-8", "replace"))}
