"""Who asks, and what came of it? Visitors that never tire, of whom some leave, and a tally of every request."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.soak.whole import generation_is_whole, tokens_missing
from tests.soak.wire import Answer, BrokenError, Visit

LEAVING = 0.22
"""The share of requests whose client means to leave before their end; some whose answer is quick come too late."""
MOST_TOKENS, TOKENS_OF_LEAVERS = 60, 7000
"""Who leaves asks for an answer of 35 s: an engine that is not told of it is found at work long after."""
REQUESTS_A_VISIT = 20
"""So many requests use one connection; then it is closed, idle."""

OK = 200


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request, and how its whole answer is known.

    Args:
        generates: whether its answer has as many tokens as were asked for.
        lasts: seconds; who leaves does so at any moment up to then: in the queue, before the first token, in a stream.
    """

    path: str
    content: Callable[[random.Random, int], Mapping[str, Any]]
    is_whole: Callable[[bytes], bool]
    lasts: float
    generates: bool = True


def _generating(tokens: int, *, stream: bool) -> dict[str, Any]:
    usage = {"stream_options": {"include_usage": True}} if stream else {}
    return {"model": "qwen", "max_tokens": tokens, "ignore_eos": True, "stream": stream, **usage}


def _chat(*, stream: bool) -> Callable[[random.Random, int], Mapping[str, Any]]:
    return lambda dice, tokens: {
        **_generating(tokens, stream=stream),
        "messages": [{"role": "user", "content": f"number {dice.random()}"}],
    }


KINDS = (
    Kind("/v1/chat/completions", _chat(stream=True), generation_is_whole, 0.4),
    Kind("/v1/chat/completions", _chat(stream=False), generation_is_whole, 0.4),
    Kind(
        "/v1/completions",
        lambda dice, tokens: {
            **_generating(tokens, stream=dice.random() < 0.5),
            "prompt": f"number {dice.random()}",
        },
        generation_is_whole,
        0.4,
    ),
    Kind(
        "/v1/embeddings",
        lambda dice, _: {"model": "snowflake-arctic-embed", "input": [f"text {dice.random()}"] * dice.randrange(1, 9)},
        lambda body: b'"embedding"' in body,
        0.004,
        generates=False,
    ),
    Kind(
        "/v1/rerank",
        lambda dice, _: {"model": "bge-reranker-v2-m3", "query": "q", "documents": [f"text {dice.random()}", "other"]},
        lambda body: b'"relevance_score"' in body,
        0.004,
        generates=False,
    ),
)
"""Four endpoints, streamed and whole."""
PATHS = {kind.path for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Loss:
    """A request that got no whole answer though its client stayed.

    Args:
        port: the client's end of its connection.
        why: in words.
    """

    at: float
    port: int
    request_id: str
    why: str


@dataclass(slots=True)
class Tally:
    """What came of all requests.

    Attributes:
        statuses: of the answers that were whole.
        short: answers that have their end and lack tokens, by their ids.
        answered: the ids of all whole answers.
    """

    asked: int = 0
    left: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    losses: list[Loss] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When an answer was whole, and after how many seconds: for the picture."""


async def visit_on_and_on(port: int, seed: int, tally: Tally, over: asyncio.Event) -> None:
    """One visitor: a request at a time, until it is over; what runs then is waited for."""
    dice = random.Random(seed)  # noqa: S311 -- a load, no secret
    while not over.is_set():
        try:
            visit = await Visit.begin(port)
        except BrokenError as error:
            tally.asked += 1
            tally.losses.append(Loss(time.monotonic(), 0, "", f"could not connect: {error}"))
            continue
        for _ in range(REQUESTS_A_VISIT):
            await _one_request(visit, dice, tally)
            if not visit.is_open or over.is_set():
                break
        visit.leave()


async def _one_request(visit: Visit, dice: random.Random, tally: Tally) -> None:
    kind = dice.choice(KINDS)
    leaves = dice.random() < LEAVING
    tokens = TOKENS_OF_LEAVERS if leaves else dice.randrange(1, MOST_TOKENS)
    content = kind.content(dice, tokens)
    began = time.monotonic()
    tally.asked += 1
    try:
        async with asyncio.timeout(dice.random() * kind.lasts if leaves else None):
            answer = await visit.post(kind.path, dict(content))
    except TimeoutError:
        visit.leave()
        tally.left += 1
    except BrokenError as error:
        tally.losses.append(Loss(time.monotonic(), visit.port, visit.answer.request_id, str(error)))
    else:
        _note(kind, answer, visit.port, began, tally)
        if answer.status == OK and kind.generates and tokens_missing(answer.body, tokens):
            tally.short.append(answer.request_id)


def _note(kind: Kind, answer: Answer, port: int, began: float, tally: Tally) -> None:
    now = time.monotonic()
    tally.statuses[answer.status] += 1
    tally.answered.append(answer.request_id)
    if answer.status == OK and kind.is_whole(answer.body):
        tally.waits.append((now, now - began))
        return
    why = f"{answer.status} {kind.path}: {answer.body[-200:]!r}"
    tally.losses.append(Loss(now, port, answer.request_id, why))
