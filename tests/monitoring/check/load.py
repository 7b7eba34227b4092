"""Who asks meanwhile? Visitors that come and go, organizations with limits, and clients that do it wrong."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import httpx

from tests.monitoring.check.house import ACME, GLOBEX, House
from tests.soak.load import Tally, visit_on_and_on
from tests.soak.pausing import is_over
from tests.support.gateway import KEY

VISITORS = 30
PAUSE_SECS = 0.05
ALIKE = 4
"""So many identical requests at a time: one runs, the others wait for its answer, and the next ones get it again."""
SPREAD = 40
"""Texts that are asked for, more than the cache keeps."""
CHAT = {"model": "qwen", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}

Request = tuple[str, str, Mapping[str, Any]]
"""A key, a path, a body."""


async def ask_on_and_on(house: House, over: asyncio.Event) -> None:
    """All of them, until it is over."""
    async with asyncio.TaskGroup() as group:
        for seed in range(VISITORS):
            group.create_task(visit_on_and_on(house.gateway.port, seed, Tally(), over))
        group.create_task(_regulars(house, over))


async def _regulars(house: House, over: asyncio.Event) -> None:
    """Requests of all other kinds, round after round; what becomes of each is what the metrics are about."""
    dice = random.Random(1)  # noqa: S311 -- a load, no secret
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=house.gateway.url, timeout=30, trust_env=False, limits=limits) as client:
        while not await is_over(over, PAUSE_SECS):
            await asyncio.gather(*(_post(client, request) for request in _round(house.keys, dice)))


def _round(keys: Mapping[str, str], dice: random.Random) -> list[Request]:
    text = {"model": "snowflake-arctic-embed", "input": f"text {dice.randrange(SPREAD)}"}
    return [
        *[(KEY, "/v1/embeddings", text)] * ALIKE,
        (KEY, "/v1/text2sql", {"max_tokens": 8, "messages": [{"role": "user", "content": f"{dice.random()}"}]}),
        (KEY, "/v1/messages", {**CHAT, "stream": True}),
        (KEY, "/v1/responses", {"model": "qwen", "input": "hi", "max_output_tokens": 8, "stream": True}),
        (keys[ACME], "/v1/chat/completions", {**CHAT, "stream": True}),
        (keys[GLOBEX], "/v1/embeddings", {**text, "input": f"{dice.random()}"}),
        (KEY, "/v1/chat/completions", {**CHAT, "temperature": "hot"}),
        (KEY, "/v1/chat/completions", {**CHAT, "model": "gpt-9"}),
        (KEY, "/v1/no/such/path", {}),
        ("sk-wrong", "/v1/chat/completions", CHAT),
    ]


async def _post(client: httpx.AsyncClient, request: Request) -> None:
    key, path, body = request
    try:
        await client.post(path, json=body, headers={"authorization": f"Bearer {key}"})
    except httpx.TransportError:
        return  # of a worker that was killed: part of the play
