"""A backend that answers as it is told: a real server on a real port, in the test's own event loop."""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Self

import orjson


@dataclass
class ScriptedBackend:
    """Says what the test sets; counts what it was asked.

    Attributes:
        port: where it listens.
        key: the bearer token that `/v1/models` wants.
        health: status of `/health`.
        models: names in `/v1/models`, all with the same context length.
        silent: accept and read, never answer.
        raw_models: replaces the body of `/v1/models`.
        metrics: body of `/metrics`; None: 404.
        tls: speak https with this.
        slow: paths that are never answered.
        asked: paths and authorization values as they came.
        was_asked: set by every request.
    """

    port: int = 0
    key: str = "sk-backends-4f2a"
    health: int = 200
    models: tuple[str, ...] = ("qwen",)
    max_model_len: int = 8192
    silent: bool = False
    raw_models: bytes | None = None
    metrics: bytes | None = None
    tls: ssl.SSLContext | None = None
    slow: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the port: a free one the first time, the same one again after `stop`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            path = lines[0].split(" ")[1]
            self.asked.append((path, fields.get("authorization", "")))
            self.was_asked.set()
            if self.silent or path in self.slow:
                await reader.read()
                return
            status, body = self._answer(path, fields.get("authorization", ""))
            writer.write(
                b"HTTP/1.1 %d x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def _answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        if path == "/health":
            return self.health, b""
        if path == "/metrics":
            return (404, b"") if self.metrics is None else (200, self.metrics)
        if authorization != f"Bearer {self.key}":
            return 401, b'{"error":"Unauthorized"}'
        cards = [{"id": name, "object": "model", "max_model_len": self.max_model_len} for name in self.models]
        return 200, orjson.dumps({"object": "list", "data": cards}) if self.raw_models is None else self.raw_models


def page(
    *,
    running: float = 0,
    waiting: float = 0,
    generated: float = 0,
    prompted: float = 0,
    finished: float = 0,
    listed: float | None = None,
) -> bytes:
    """A `/metrics` page with these figures, spelled as vLLM does, among others that nobody reads."""
    labels = '{engine="0",model_name="qwen"}'
    models = 'handler="/v1/models",method="GET",status="2xx"'
    served = "" if listed is None else f"http_requests_total{{{models}}} {listed}\n"
    return (
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
        "# TYPE vllm:num_requests_running gauge\n"
        f"vllm:num_requests_running{labels} {running}\n"
        f"vllm:num_requests_waiting{labels} {waiting}\n"
        f'vllm:num_requests_waiting_by_reason{{engine="0",model_name="qwen",reason="capacity"}} {waiting}\n'
        f"vllm:kv_cache_usage_perc{labels} 0.5\n"
        f"vllm:prompt_tokens_total{labels} {prompted}\n"
        f"vllm:prompt_tokens_created{labels} 1.79e+09\n"
        f"vllm:generation_tokens_total{labels} {generated}\n"
        f'vllm:request_success_total{{engine="0",finished_reason="stop",model_name="qwen"}} {finished}\n'
        f'vllm:request_success_total{{engine="0",finished_reason="length",model_name="qwen"}} 0.0\n'
        f"{served}"
    ).encode()
