"""Does the ledger say what the backends made? At every endpoint that costs tokens, a fifth of whose clients leave."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import asdict

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support import ledger
from tests.support.gateway import Gateway, RawClient, in_threads, wait_until

LEAVING = 0.2
"""The share of all clients that leave in the middle of their answer."""
CLIENTS = 16
SHORTEST, LONGEST = 50, 250
"""Tokens of an answer."""
FIRST_MS, NEXT_MS, READ_MS = 20, 2, 60
"""Until the first token, from each to the next, and until texts are read."""
FAST = {"MAX_RPS_PER_IP": 100_000, "RPS_BURST": 100_000}
EMBED, RERANK = "Snowflake/snowflake-arctic-embed-l-v2.0", "BAAI/bge-reranker-v2-m3"

Made = dict[str, Any]


class Kind(NamedTuple):
    """An endpoint, and a body of it that says so much and wants so many tokens."""

    path: str
    body: Callable[[str, int], dict[str, Any]]
    streamed: bool = False


def turns(said: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": said}]


GENERATING = (
    Kind("/v1/chat/completions", lambda said, tokens: {"messages": turns(said), "max_tokens": tokens}),
    Kind("/v1/completions", lambda said, tokens: {"prompt": said, "max_tokens": tokens}),
    Kind("/v1/responses", lambda said, tokens: {"input": said, "max_output_tokens": tokens}),
    Kind("/v1/messages", lambda said, tokens: {"messages": turns(said), "max_tokens": tokens}),
)
READING = (
    Kind("/v1/embeddings", lambda said, _: {"model": EMBED, "input": [said] * 5}),
    Kind("/v1/rerank", lambda said, _: {"model": RERANK, "query": said, "documents": [said] * 5}),
    Kind("/v1/score", lambda said, _: {"model": RERANK, "text_1": said, "text_2": [said] * 5}),
)
STREAMS = tuple(kind._replace(streamed=True) for kind in GENERATING)
KINDS = (*GENERATING, *STREAMS, *READING)


class Visit(NamedTuple):
    """One client: what it asks, and after how many events or seconds it leaves; 0: never."""

    kind: Kind
    said: str
    tokens: int
    events: int = 0
    secs: float = 0.0


def visits(count: int, leaving: Sequence[Kind], seed: int) -> list[Visit]:
    """Each kind as often as the others, in turn; a fifth of all leave, and they are of those kinds."""
    chance = random.Random(seed)  # noqa: S311 -- a test's dice
    plan = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        tokens = chance.randrange(SHORTEST, LONGEST)
        visit = Visit(kind, f"number {number} " * chance.randrange(1, 30), tokens)
        if kind in leaving and chance.random() < LEAVING * len(KINDS) / len(leaving):
            longest = READ_MS / 1000 if kind in READING else (FIRST_MS + tokens * NEXT_MS) / 1000
            events, secs = chance.randrange(5, SHORTEST), chance.uniform(0.1, 0.7) * longest
            visit = visit._replace(events=events) if kind.streamed else visit._replace(secs=secs)
        plan.append(visit)
    return plan


def pay(gateway: Gateway, visit: Visit) -> None:
    """Ask, and stay to the end or leave."""
    kind = visit.kind
    with RawClient(gateway.port) as client:
        body = {"model": "qwen", **kind.body(visit.said, visit.tokens), **({"stream": True} if kind.streamed else {})}
        client.post(kind.path, body, headers="Connection: close\r\n")
        if visit.secs:
            client.readable(visit.secs)
        elif visit.events:
            while client.received.count(b"data:") < visit.events and (data := client.socket.recv(65536)):
                client.received += data
        else:
            assert client.rest().startswith(b"HTTP/1.1 200 "), client.received


def load(gateway: Gateway, plan: list[Visit]) -> None:
    """All of them, so many at a time."""

    def clients(thread: int) -> None:
        for visit in plan[thread::CLIENTS]:
            pay(gateway, visit)

    with in_threads(CLIENTS, clients) as failures:
        pass
    assert failures == []


def booked(data: Path) -> dict[str, Made]:
    """The usage records in the database, by their requests."""
    return {record.request_id: asdict(record) for record in ledger.booked(data / "gateway.db")}


def tokens(rows: list[Made]) -> int:
    return sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)


def by_kind(made: list[Made], records: dict[str, Made]) -> str:
    """For whoever looks for the difference: what was made and what was booked, for each path and end."""
    said = Counter[str]()
    for row in made:
        kind = f"{row['path']} {'stream' if row['streamed'] else 'whole'} {row['ended']}"
        said[f"{kind}, made"] += tokens([row])
        said[f"{kind}, booked"] += tokens([records[row["request_id"]]])
    return "\n".join(f"{kind}: {count}" for kind, count in sorted(said.items()))


RunPlan = Callable[[list[Visit]], tuple[list[Made], dict[str, Made]]]


@pytest.fixture
def run(whole_fleet: Fleet, make_gateway: MakeGateway, tmp_path: Path) -> RunPlan:
    """Has clients ask, and gives what the backends made of it and the ledger."""
    data = tmp_path / "data"
    gateway = make_gateway(whole_fleet, GATEWAY_WORKERS=4, DATA_PATH=data, **FAST)
    wait_until(gateway.well)
    for name in ("chat0", "chat1"):
        whole_fleet[name].set_pace(ttft_ms=FIRST_MS, token_ms=NEXT_MS)
    for name in ("embed", "rerank"):
        whole_fleet[name].set_pace(ttft_ms=READ_MS)

    def visited(plan: list[Visit]) -> tuple[list[Made], dict[str, Made]]:
        load(gateway, plan)
        made = [row for server in whole_fleet.servers.values() for row in server.settled()]
        wait_until(lambda: len(booked(data)) == len(made))
        return made, booked(data)

    return visited


def check_agreement(made: list[Made], records: dict[str, Made], leaving: Sequence[Kind], tolerance: float) -> None:
    """Both speak of the same requests, of which a fifth were left, and of as many tokens within the tolerance."""
    assert {row["request_id"] for row in made} == records.keys()
    left = [row for row in made if row["ended"] == "aborted"]
    assert len(left) > 0.8 * LEAVING * len(made)  # the others were not noticed before the answer's end
    assert {(row["path"].removeprefix("/v1"), row["streamed"]) for row in left} == {
        (kind.path.removeprefix("/v1"), kind.streamed) for kind in leaving
    }
    assert abs(tokens(list(records.values())) - tokens(made)) <= tolerance * tokens(made), by_kind(made, records)


def test_where_streams_are_left_the_ledger_agrees_with_the_backends_within_half_a_percent(run: RunPlan) -> None:
    made, records = run(visits(660, STREAMS, seed=71))
    check_agreement(made, records, STREAMS, 0.005)
    stating = {row["request_id"] for row in made if not (row["streamed"] and row["path"] == "/v1/responses")}
    assert not [name for name in stating if records[name]["estimated"]]


def test_where_whole_answers_are_left_too_it_agrees_within_two_percent(run: RunPlan) -> None:
    made, records = run(visits(990, KINDS, seed=72))
    check_agreement(made, records, KINDS, 0.02)
