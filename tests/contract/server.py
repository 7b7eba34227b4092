"""How does a test talk to a server? Over httpx for what is said, over a raw connection for how it is framed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.contract.events import Event, events
from tests.contract.wire import RawAnswer, Wire, request


@dataclass(frozen=True)
class Server:
    """A running vLLM, real or simulated."""

    url: str
    key: str
    model: str

    @cached_property
    def _client(self) -> httpx.Client:
        # No kept-alive connections: the server closes them after 5.0 s, exactly when httpx would still reuse them.
        return httpx.Client(base_url=self.url, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))

    @property
    def authorization(self) -> dict[str, str]:
        """The header that opens the guarded paths."""
        return {"authorization": f"Bearer {self.key}"}

    def close(self) -> None:
        """Close the client; the server runs on."""
        self._client.close()

    def get(self, path: str) -> httpx.Response:
        """With the key."""
        return self._client.get(path, headers=self.authorization)

    def post(
        self, path: str, body: Mapping[str, Any] | bytes, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """With the key; an object is sent as JSON, bytes as they are under the JSON content type."""
        sent = {**self.authorization, "content-type": "application/json", **(headers or {})}
        if isinstance(body, bytes):
            return self._client.post(path, content=body, headers=sent)
        return self._client.post(path, json=body, headers=sent)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Without the key, as httpx would."""
        return self._client.request(method, path, **options)

    def events(self, path: str, body: Mapping[str, Any]) -> list[Event]:
        """All events of a stream that starts well."""
        answer = self.post(path, {**body, "stream": True})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        return events(answer.text)

    def wire(self) -> Wire:
        """A raw connection."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        return Wire(parts.hostname, parts.port or 80)

    def raw_post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """The bytes of a POST with the key."""
        return request("POST", path, body, {**self.authorization, **(headers or {})})

    def exchange(self, data: bytes) -> RawAnswer:
        """Send `data` on a fresh connection and read one answer."""
        with self.wire() as wire:
            wire.send(data)
            return wire.answer()

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        """The samples of one name in /metrics, each with its labels."""
        samples = re.findall(rf"^{re.escape(name)}\{{(.*)\}} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in samples]

    def metric(self, name: str, **labels: str) -> float:
        """The sample that has these labels, 0.0 where there is none yet."""
        found = (value for known, value in self.series(name) if labels.items() <= known.items())
        return next(found, 0.0)
