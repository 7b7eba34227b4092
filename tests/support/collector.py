"""How does a test see what is exported? An OTLP receiver of its own, which may refuse, or be slow."""

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support.gateway import wait_until

SERVER = trace_pb2.Span.SPAN_KIND_SERVER
CLIENT = trace_pb2.Span.SPAN_KIND_CLIENT
INTERNAL = trace_pb2.Span.SPAN_KIND_INTERNAL


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it was received; ids in hexadecimal, times in seconds since 1970."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    began: float
    ended: float
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Collector:
    """Listens on a port of the kernel's choice; a scope.

    Attributes:
        status: what it answers.
        answering: cleared, it takes requests and answers none.
        batches: how many requests it has had.
        headers: those of the last one.
        raw: their bodies.
    """

    def __init__(self) -> None:
        self.status = 200
        self.answering = threading.Event()
        self.answering.set()
        self.batches = 0
        self.headers: dict[str, str] = {}
        self.raw: list[bytes] = []
        self._spans: list[Span] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT says."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """One request; the status that it gets."""
        self.batches += 1
        self.headers = headers
        self.raw.append(body)
        self.answering.wait()
        if path != "/v1/traces":
            return 404
        if self.status == 200:
            message = ExportTraceServiceRequest()
            message.ParseFromString(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
            self._spans += _spans_of(message)
        return self.status

    def spans(self, count: int, having: Callable[[Span], bool] = lambda _: True) -> list[Span]:
        """Those that came so far and are so, in the order of their beginnings, once there are so many of them."""

        def found() -> list[Span]:
            return sorted((span for span in tuple(self._spans) if having(span)), key=lambda span: span.began)

        wait_until(lambda: len(found()) >= count, what=f"fewer than {count} spans came: {found()}")
        spans = found()
        assert len(spans) == count, spans
        return spans

    def trace(self, trace_id: str, count: int) -> list[Span]:
        """The spans of one trace; see `spans`."""
        return self.spans(count, lambda span: span.trace_id == trace_id)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler_of(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = collector.take(self.path, headers, body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
            """Say nothing."""

    return Handler


def _spans_of(message: ExportTraceServiceRequest) -> list[Span]:
    return [
        Span(
            name=span.name,
            kind=span.kind,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            state=span.trace_state,
            began=span.start_time_unix_nano / 1e9,
            ended=span.end_time_unix_nano / 1e9,
            failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
            attributes={one.key: _plain(one.value) for one in span.attributes},
            resource={one.key: _plain(one.value) for one in resource.resource.attributes},
        )
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _plain(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")
