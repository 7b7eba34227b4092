"""What will an answer be, and where will it stop? All that is known of a sequence before it runs."""

from dataclasses import dataclass

from gateway.simulator import tokens


@dataclass(frozen=True, slots=True)
class Plan:
    """A sequence to generate: its tokens, and how it ends.

    Args:
        pieces: the text of each token; an ending by itself is a token of its own, with empty text, as in vLLM.
        finish: `stop` or `length`.
        stop_reason: the stop string or stop token that was met; None for a natural end.
    """

    pieces: tuple[str, ...]
    finish: str
    stop_reason: str | int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a sequence must stop, whatever the model would like to say."""

    max_tokens: int
    min_tokens: int = 0
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    stop_token_ids: frozenset[int] = frozenset()
    keep_stop: bool = False


NOTHING = Plan((), "stop")
"""What a pooling request generates."""


def plan(answer: str, limits: Limits) -> Plan:
    """Cut an answer to its limits, or repeat it where it must not end by itself."""
    pieces = tokens.split(answer)
    wanted = limits.max_tokens if limits.ignore_eos else min(limits.min_tokens, limits.max_tokens)
    if pieces and len(pieces) < wanted:
        pieces = _repeated(answer, pieces, wanted)
    met = _first_stop(pieces, limits)
    if met is not None and met[0] < limits.max_tokens:
        return _stopped_by(pieces, met, limits)
    if len(pieces) >= limits.max_tokens or limits.ignore_eos:
        return Plan(tuple(pieces[: limits.max_tokens]), "length")
    return Plan((*pieces, ""), "stop")


def _repeated(answer: str, pieces: list[str], wanted: int) -> list[str]:
    again = tokens.split(" " + answer)
    times = -(-(wanted - len(pieces)) // len(again))
    return (pieces + again * times)[:wanted]


def _first_stop(pieces: list[str], limits: Limits) -> tuple[int, str | int] | None:
    """The index of the token that completes a stop, and what was met."""
    if not limits.stop and not limits.stop_token_ids:
        return None
    longest = max((len(stop) for stop in limits.stop), default=0)
    tail = ""
    for index, piece in enumerate(pieces):
        tail = tail[-longest:] + piece if longest else ""
        if index + 1 < limits.min_tokens:
            continue
        if limits.stop_token_ids and (token := tokens.piece_id(piece)) in limits.stop_token_ids:
            return index, token
        for stop in limits.stop:
            if stop in tail:
                return index, stop
    return None


def _stopped_by(pieces: list[str], met: tuple[int, str | int], limits: Limits) -> Plan:
    """The token that completes a stop string counts, though its text is cut away."""
    index, reason = met
    made = pieces[: index + 1]
    if isinstance(reason, int):
        return Plan((*made[:-1], ""), "stop", reason)
    text = "".join(made)
    end = text.rindex(reason) + (len(reason) if limits.keep_stop else 0)
    return Plan(tuple(_clipped(made, end)), "stop", reason)


def _clipped(pieces: list[str], end: int) -> list[str]:
    """The pieces up to a character position; later ones stay as tokens without text."""
    clipped = []
    position = 0
    for piece in pieces:
        clipped.append(piece[: max(0, end - position)])
        position += len(piece)
    return clipped
