"""Who visits the stack while it changes? Clients that ask again and again, and remember each answer that was none."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import httpx

from tests.compose.running import Stack

MESSAGES = [{"role": "user", "content": "How many orders were there yesterday?"}]
WHOLE = {"model": "qwen", "messages": MESSAGES, "max_tokens": 8}
STREAM = {"model": "qwen", "messages": MESSAGES, "max_tokens": 64, "stream": True}
Ask = Callable[[httpx.Client], None]


class Visitors:
    """What they have seen.

    Attributes:
        good: whole answers and streams that came to their end, by kind.
        lost: what each of the others was.
    """

    def __init__(self) -> None:
        self.good: Counter[str] = Counter()
        self.lost: list[str] = []
        self.ended = threading.Event()

    def total(self) -> int:
        """How many answers were good."""
        return self.good.total()

    def whole(self, client: httpx.Client) -> None:
        """Ask for an answer in one piece."""
        answer = client.post("/v1/chat/completions", json=WHOLE)
        if answer.status_code == 200 and answer.json()["choices"][0]["finish_reason"]:
            self.good["whole"] += 1
        else:
            self.lost.append(f"whole: {answer.status_code} {answer.text}")

    def stream(self, client: httpx.Client) -> None:
        """Read a stream to its end."""
        with client.stream("POST", "/v1/chat/completions", json=STREAM) as answer:
            lines = [line for line in answer.iter_lines() if line]
        if answer.status_code == 200 and lines[-1] == "data: [DONE]" and not any('"error"' in line for line in lines):
            self.good["stream"] += 1
        else:
            self.lost.append(f"stream: {answer.status_code} {lines[-2:]}")


@contextlib.contextmanager
def visited(stack: Stack, count: int, key: str = "") -> Iterator[Visitors]:
    """`count` clients at a time, half of them with streams, each with a connection that it keeps; all end with this."""
    seen = Visitors()
    kinds: tuple[Ask, ...] = (seen.whole, seen.stream)
    threads = [
        threading.Thread(target=_visit, args=(stack, seen, kinds[number % 2], key), daemon=True)
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        seen.ended.set()
        for thread in threads:
            thread.join(timeout=120)


def _visit(stack: Stack, seen: Visitors, ask: Ask, key: str) -> None:
    with stack.client(key) as client:
        while not seen.ended.is_set():
            try:
                ask(client)
            except httpx.HTTPError as error:
                seen.lost.append(f"{ask.__name__}: {error!r}")
