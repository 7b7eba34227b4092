"""Has an attack left anything? The house that is attacked, and what it must still do meanwhile and afterwards."""

import itertools
import select
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from tests.nginx.client import Connection, connect, connect_plain
from tests.support.gateway import KEY, Gateway, wait_until
from tests.support.nginx import NginxServer
from tests.support.simulators import Simulator

COMPLETIONS = b"/v1/completions"
PAUSE_SECS = 0.2
"""How long a first answer is waited for before more is sent. One that comes later is missed, and wrongs nobody."""
BARRIER = b"GET /health HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"
"""Answered after whatever came before it on its connection, which then ends."""


def asking(prompt: str, *lines: bytes, path: bytes = COMPLETIONS) -> bytes:
    """A whole request that runs, and whose answer begins with its prompt; `lines` are more of its head."""
    body = orjson.dumps({"model": "qwen", "prompt": prompt, "max_tokens": 1, "echo": True})
    return head(b"Content-Length: %d" % len(body), *lines, path=path) + body


def head(*lines: bytes, path: bytes = COMPLETIONS, method: bytes = b"POST", version: bytes = b"1.1") -> bytes:
    """A request's head with the key, to the blank line that ends it."""
    first = (
        b"%b %b HTTP/%b" % (method, path, version),
        b"Host: gateway.test",
        b"Authorization: Bearer " + KEY.encode(),
    )
    return b"\r\n".join((*first, b"Content-Type: application/json", *lines, b"", b""))


@dataclass(frozen=True, slots=True)
class House:
    """A simulated vLLM server, a gateway, nginx."""

    model: Simulator
    gateway: Gateway
    nginx: NginxServer
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def reset(self) -> None:
        """Forget what ran."""
        self.model.clear()
        self.model.set_pace(ttft_ms=0, token_ms=0, spread_ms=0)

    def doors(self) -> dict[str, Callable[[], Connection]]:
        """Where bytes may be sent."""
        return {"nginx": lambda: connect(self.nginx), "gateway": lambda: connect_plain(self.gateway.port)}

    def converse(self, door: str, *pieces: bytes, pause: float = PAUSE_SECS) -> bytes:
        """Send bytes on a new connection, then one more request; everything that is answered until it ends.

        The gateway runs nothing that stands behind a running request, so each piece waits there, for `pause` seconds at
        the most, for an answer to what came before, and a request that hides in one gets its chance.
        """
        received = []
        with self.doors()[door]() as connection:
            for piece in pieces:
                connection.send(piece)
                if door == "gateway" and select.select([connection.raw], [], [], pause)[0]:
                    received.append(connection.receive())
            connection.send(BARRIER)
            while more := connection.receive():
                received.append(more)
        return b"".join(received)

    def ran(self) -> list[str]:
        """The prompts that have reached the model server, in their order; visitors' are left out."""
        bodies = [orjson.loads(row["body"]) for row in self.model.ledger()]
        return [str(body["prompt"]) for body in bodies if not str(body.get("prompt")).startswith("visitor ")]

    def serves(self) -> str:
        """A visitor who comes now, through nginx, gets the answer to its own question; the request's id."""
        prompt = f"visitor {next(self._numbers)}"
        with connect(self.nginx) as connection:
            connection.send(asking(prompt))
            answer = connection.answer("POST")
        assert answer.status == 200, answer.body
        assert orjson.loads(answer.body)["choices"][0]["text"].startswith(prompt)
        return str(answer.header("x-request-id"))

    def records(self) -> list[dict[str, object]]:
        """What the gateway and nginx have logged of requests: each line is one JSON object, and draws nothing.

        nginx may write a line a second late, and writes them in order: a last visitor's is waited for.
        """
        last = self.serves()
        wait_until(lambda: last in self.nginx.log())
        written = [*self.gateway.log_text().splitlines()[:-1], *self.nginx.log().splitlines()[:-1]]
        lines = [line for line in written if line.startswith("{")]
        assert "\x1b" not in "".join(written)
        return [orjson.loads(line) for line in lines]

    def is_well(self) -> None:
        """Everything stands, serves, and holds nothing for those who have gone."""
        self.serves()
        wait_until(self.gateway.idle)
        wait_until(lambda: self.model.state() == {**self.model.state(), "running": 0, "waiting": 0})
        assert self.nginx.process.poll() is None
        assert "exited on signal" not in self.nginx.log()
