"""Does the ledger say what the backends made? At every endpoint that costs tokens, a fifth of whose clients leave."""

import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, RawClient, in_threads, wait_until

REQUESTS = 660
LEAVING = 0.2
"""The share of all clients that leave in the middle of their answer."""
CLIENTS = 16
TOKENS = 150
TOLERANCE = 0.005
FIRST_MS, NEXT_MS, READ_MS = 20, 2, 60
"""Until the first token, from each to the next, and until texts are read."""
FAST = {"MAX_RPS_PER_IP": 100_000, "RPS_BURST": 100_000}
EMBED, RERANK = "Snowflake/snowflake-arctic-embed-l-v2.0", "BAAI/bge-reranker-v2-m3"

Made = dict[str, Any]


class Kind(NamedTuple):
    """An endpoint, and a body of it that says so much."""

    path: str
    body: Callable[[str], dict[str, Any]]
    streamed: bool = False


def turns(said: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": said}]


GENERATING = (
    Kind("/v1/chat/completions", lambda said: {"messages": turns(said), "max_tokens": TOKENS}),
    Kind("/v1/completions", lambda said: {"prompt": said, "max_tokens": TOKENS}),
    Kind("/v1/responses", lambda said: {"input": said, "max_output_tokens": TOKENS}),
    Kind("/v1/messages", lambda said: {"messages": turns(said), "max_tokens": TOKENS}),
)
READING = (
    Kind("/v1/embeddings", lambda said: {"model": EMBED, "input": [said] * 5}),
    Kind("/v1/rerank", lambda said: {"model": RERANK, "query": said, "documents": [said] * 5}),
    Kind("/v1/score", lambda said: {"model": RERANK, "text_1": said, "text_2": [said] * 5}),
)
STREAMS = tuple(kind._replace(streamed=True) for kind in GENERATING)
STATING = tuple(kind for kind in STREAMS if kind.path != "/v1/responses")
"""Those that say as they go what they have cost. Whoever leaves another is charged its prompt alone, as estimated."""
KINDS = (*GENERATING, *STREAMS, *READING)


class Visit(NamedTuple):
    """One client: what it asks, and after how many events it leaves; 0: never."""

    kind: Kind
    said: str
    events: int = 0


def visits() -> list[Visit]:
    """Each kind as often as the others, in turn."""
    chance = random.Random(71)  # noqa: S311 -- a test's dice
    plan = []
    for number in range(REQUESTS):
        kind = KINDS[number % len(KINDS)]
        visit = Visit(kind, f"number {number} " * chance.randrange(1, 30))
        if kind in STATING and chance.random() < LEAVING * len(KINDS) / len(STATING):
            visit = visit._replace(events=chance.randrange(5, 60))
        plan.append(visit)
    return plan


def pay(gateway: Gateway, visit: Visit) -> None:
    """Ask, and stay to the end or leave."""
    kind = visit.kind
    with RawClient(gateway.port) as client:
        body = {"model": "qwen", **kind.body(visit.said), **({"stream": True} if kind.streamed else {})}
        client.post(kind.path, body, headers="Connection: close\r\n")
        if visit.events:
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
    with closing(sqlite3.connect(f"file:{data / 'gateway.db'}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return {row["request_id"]: dict(row) for row in database.execute("SELECT * FROM usage_records")}


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


@pytest.fixture
def made_and_booked(
    whole_fleet: Fleet, make_gateway: MakeGateway, tmp_path: Path
) -> tuple[list[Made], dict[str, Made]]:
    """What the backends made, and the ledger of it."""
    data = tmp_path / "data"
    gateway = make_gateway(whole_fleet, GATEWAY_WORKERS=4, DATA_PATH=data, **FAST)
    wait_until(gateway.well)
    for name in ("chat0", "chat1"):
        whole_fleet[name].set_pace(ttft_ms=FIRST_MS, token_ms=NEXT_MS)
    for name in ("embed", "rerank"):
        whole_fleet[name].set_pace(ttft_ms=READ_MS)
    servers = whole_fleet.servers.values()
    load(gateway, visits())
    made = [row for server in servers for row in server.settled()]
    wait_until(lambda: len(booked(data)) == len(made))
    return made, booked(data)


def test_the_ledger_agrees_with_the_backends_at_a_fifth_of_disconnects(
    made_and_booked: tuple[list[Made], dict[str, Made]],
) -> None:
    made, records = made_and_booked
    assert {row["request_id"] for row in made} == records.keys()
    left = [row for row in made if row["ended"] == "aborted"]
    assert len(left) > 0.8 * LEAVING * REQUESTS  # the others were not noticed before the answer's end
    assert {row["path"] for row in left if row["streamed"]} == {kind.path for kind in STATING}
    assert abs(tokens(list(records.values())) - tokens(made)) <= TOLERANCE * tokens(made), by_kind(made, records)
    assert not any(record["estimated"] for record in records.values())
