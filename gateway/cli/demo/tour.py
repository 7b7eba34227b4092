"""What does the gateway do for its clients? A few requests, and what came of them."""

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import combinations
from typing import Any

import click
import httpx
import orjson

BURST = 400
"""Enough that some are answered 429 even where the requests take seconds: the bucket refills meanwhile."""
WIDTH = 96
SENTENCES = ("A cat sleeps on the sofa.", "A kitten sleeps on the couch.", "The stock market fell on Monday.")
DOCUMENTS = (
    "A grey stone on the road.",
    "Strawberries and cherries are red fruit.",
    "A red car.",
    "Green fruit: limes.",
)
SCHEMA = "CREATE TABLE orders (id INT, customer TEXT, total NUMERIC, placed DATE);"


class Tour:
    """The stops of the tour; each prints its title, what it sends and what came back.

    Args:
        client: speaks to the gateway with the demo's key.
        operators: the operators' stop.
    """

    def __init__(self, client: httpx.AsyncClient, operators: Callable[[], Awaitable[None]]) -> None:
        self._client = client
        self._operators = operators

    async def run(self) -> None:
        """All stops, in order."""
        stops = (self.chat, self.text2sql, self.embeddings, self.rerank, self.wrong_model, self._operators, self.burst)
        for stop in stops:
            await stop()

    async def chat(self) -> None:
        """A streamed answer, printed as it comes."""
        title("Chat, streamed: every piece is passed on the moment the model server makes it")
        body = {
            "model": "qwen",
            "stream": True,
            "max_tokens": 48,
            "messages": [{"role": "user", "content": "In a sentence or two: why is the sky blue?"}],
        }
        click.echo("  ", nl=False)
        column = 2
        async with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for text in deltas(response):
                column = echo_wrapped(text, column)
        click.echo()

    async def text2sql(self) -> None:
        """A question to the text-to-SQL model."""
        title("Text to SQL: /v1/text2sql takes a chat body and always goes to the SQL model")
        question = f"{SCHEMA}\nWhat did each customer spend in total?"
        answer = await self._post("/v1/text2sql", {"messages": [{"role": "user", "content": question}]})
        content = str(answer["choices"][0]["message"]["content"])
        sql = re.search(r"```sql\s*(.*?)```", content, re.DOTALL) or re.search(
            r"<answer>(.*?)</answer>", content, re.DOTALL
        )
        click.echo(indented(sql.group(1) if sql else content))

    async def embeddings(self) -> None:
        """Three sentences and how alike they are."""
        title("Embeddings: like sentences lie close together")
        answer = await self._post("/v1/embeddings", {"model": "snowflake-arctic-embed", "input": SENTENCES})
        vectors = [row["embedding"] for row in answer["data"]]
        for first, second in combinations(range(len(SENTENCES)), 2):
            likeness = cosine(vectors[first], vectors[second])
            click.echo(f"  {likeness:+.2f}  {SENTENCES[first]}  /  {SENTENCES[second]}")

    async def rerank(self) -> None:
        """Documents in the order of their relevance."""
        title("Rerank: which document answers 'red fruit' best?")
        body = {"model": "bge-reranker-v2-m3", "query": "red fruit", "documents": DOCUMENTS}
        answer = await self._post("/v1/rerank", body)
        for row in answer["results"]:
            click.echo(f"  {row['relevance_score']:.3f}  {row['document']['text']}")

    async def burst(self) -> None:
        """More requests at once than the token bucket holds."""
        title(f"Limits: {BURST} requests in a burst, from an address whose bucket holds 100 and gains 50 a second")
        body = {"model": "snowflake-arctic-embed", "input": "hello"}
        responses = await asyncio.gather(*(self._client.post("/v1/embeddings", json=body) for _ in range(BURST)))
        for status, count in sorted(Counter(response.status_code for response in responses).items()):
            click.echo(f"  {count:3} x {status}")
        refused = next(
            (response for response in responses if response.status_code == httpx.codes.TOO_MANY_REQUESTS), None
        )
        if refused is not None:
            names = ("retry-after-ms", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests")
            click.echo("  a 429 says " + ", ".join(f"{name}: {refused.headers.get(name)}" for name in names))

    async def wrong_model(self) -> None:
        """An error as a client sees it."""
        title("Errors speak OpenAI's language, so that every SDK raises the right exception")
        response = await self._client.post("/v1/chat/completions", json={"model": "gpt-9", "messages": []})
        click.echo(f"  {response.status_code}  {response.json()['error']['message']}")

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = await self._client.post(path, json=body)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


async def deltas(response: httpx.Response) -> AsyncIterator[str]:
    """The pieces of text in a stream of chat events."""
    response.raise_for_status()
    async for line in response.aiter_lines():
        if line.startswith("data: {"):
            for choice in orjson.loads(line.removeprefix("data: "))["choices"]:
                yield choice["delta"].get("content") or ""


def title(text: str) -> None:
    """A stop's headline."""
    click.echo("\n" + click.style(text, bold=True))


def indented(text: str) -> str:
    """A block of text, set in."""
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


def echo_wrapped(text: str, column: int) -> int:
    """Print a piece of a stream at once, breaking lines at blanks; the column it ended in."""
    for word in re.findall(r"\s+|\S+", text):
        if column + len(word) > WIDTH and word.isspace():
            click.echo("\n  ", nl=False)
            column = 2
        else:
            click.echo(" " if word.isspace() else word, nl=False)
            column += len(word)
    return column


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """How alike two vectors are, from -1 to 1."""
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    return dot / (math.hypot(*left) * math.hypot(*right))
