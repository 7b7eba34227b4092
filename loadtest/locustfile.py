"""What does each of the users do? Locust's side of the load test: streams timed token by token, and whole answers.

LOADTEST_URL and LOADTEST_KEY say where and with which key (several, separated by commas, are dealt out in turns). The
figures of `figures.Run` are printed at the end, and decide the exit code: 1 when a request failed, when no stream
brought a token, or when the 99th percentile of the time to the first token is over its bound. LOADTEST_TABLE names a
file that gets them too.
"""

import itertools
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, between, events, task
from locust.env import Environment

from loadtest.figures import BETWEEN, FIRST, RATE, Run, Stream
from loadtest.prompts import CHATS, EMBEDDINGS, RERANK, SQL, WHOLE, Body

CHAT_PATH = "/v1/chat/completions"
TOKEN_MARKS = (b'"content":', b'"tool_calls":')
ROLE = b'"role":'
"""In a stream's first chunk, which carries no token."""
DONE = b"data: [DONE]"
OK = 200

run = Run()
began = time.perf_counter()
keys = itertools.cycle(os.environ.get("LOADTEST_KEY", "").split(","))  # noqa: TID251 -- Locust has no settings of ours


class Person(FastHttpUser):
    """Asks one thing after another, with a short pause between."""

    host = os.environ.get("LOADTEST_URL")  # noqa: TID251 -- as above
    wait_time = between(0.5, 1.5)
    network_timeout = connection_timeout = 60.0

    def on_start(self) -> None:
        """Take a key."""
        self.headers = {"authorization": f"Bearer {next(keys)}"}

    @task(6)
    def chat_streamed(self) -> None:
        """A chat, token by token."""
        name = random.choice(list(CHATS))  # noqa: S311 -- a mix, no secret
        stream = Stream(time.perf_counter())
        ended = False
        with self.client.post(
            CHAT_PATH, json=dict(CHATS[name]), headers=self.headers, stream=True, catch_response=True, name=name
        ) as answer:
            if answer.status_code == OK:
                ended = self._read(answer, stream)
            if not ended:
                answer.failure(f"status {answer.status_code}, {len(stream.tokens)} tokens, no end")
        if ended:
            tell(stream, name)

    @task(1)
    def chat_whole(self) -> None:
        """A chat in one piece."""
        self._post(CHAT_PATH, WHOLE)

    @task(1)
    def text2sql(self) -> None:
        """SQL for a question."""
        self._post("/v1/text2sql", SQL)

    @task(1)
    def embeddings(self) -> None:
        """Two vectors."""
        self._post("/v1/embeddings", EMBEDDINGS)

    @task(1)
    def rerank(self) -> None:
        """Three documents in order."""
        self._post("/v1/rerank", RERANK)

    def _post(self, path: str, body: Body) -> None:
        with self.client.post(path, json=dict(body), headers=self.headers, catch_response=True, name=path) as answer:
            if answer.status_code != OK:
                answer.failure(f"status {answer.status_code}")

    @staticmethod
    def _read(answer: Any, stream: Stream) -> bool:  # noqa: ANN401 -- Locust's response has no type of its own
        """Note when each token comes; whether the stream ended as it must.

        Read by lines from the socket: Locust's own `iter_lines` waits until 1,024 bytes are there.
        """
        ended = False
        while line := answer.stream.readline(b"\n"):
            if line.startswith(DONE):
                ended = True
            elif line.startswith(b"data:") and ROLE not in line and any(mark in line for mark in TOKEN_MARKS):
                stream.tokens.append(time.perf_counter())
        return ended


def tell(stream: Stream, name: str) -> None:
    """Hand a stream's figures to Locust, as metrics beside its own."""
    figures = [(BETWEEN, value) for value in stream.between_ms()]
    figures += [
        (kind, value) for kind, value in ((FIRST, stream.first_ms()), (RATE, stream.rate())) if value is not None
    ]
    for kind, value in figures:
        events.request.fire(request_type=kind, name=name, response_time=value, response_length=0, exception=None)
    run.tokens += len(stream.tokens)


@events.request.add_listener
def note(
    request_type: str, name: str, response_time: float, exception: BaseException | None = None, **_: object
) -> None:
    """Keep every value: Locust's own percentiles are rounded."""
    if exception is not None:
        run.fail(f"{name}: {exception}")
    else:
        run.note(request_type, name, response_time)


@events.quitting.add_listener
def sum_up(environment: Environment, **_: object) -> None:
    """Print the figures and set the exit code."""
    run.seconds = time.perf_counter() - began
    print(run.table())  # noqa: T201 -- what the run is for
    if wanted := os.environ.get("LOADTEST_TABLE"):  # noqa: TID251 -- as above
        Path(wanted).write_text(run.table())
    objections = run.objections()
    for objection in objections:
        print(f"failed: {objection}", file=sys.stderr)  # noqa: T201 -- as above
    environment.process_exit_code = 1 if objections else 0
