"""What does a worker trace with? The tracer, the spans' maker and their way out; loaded only where traces are on."""

import os
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource

from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.events import EventLog
from gateway.core.trace import RequestTrace
from gateway.observability.build import gateway_version
from gateway.observability.families.processes import TRACES_DROPPED, TRACES_EXPORTED
from gateway.observability.masking import masked_organizations
from gateway.observability.metrics import Metrics
from gateway.tracing.exporting import SpanQueue
from gateway.tracing.spans import SpanMaker
from gateway.tracing.tracer import Tracer

if TYPE_CHECKING:
    from gateway.tracing.settings import TracingSettings

TRACES_PATH: Final = "/v1/traces"
EXPORT_SECS: Final = 5.0
"""How long a batch is offered to a collector, repetitions included; then it is dropped."""


class OneResource(Resource):
    """What is said of this process; the only one there is.

    The library sorts spans by their resources, and a `Resource` makes JSON of all that it says to be told from others:
    a tenth of what an export costs.
    """

    __hash__ = object.__hash__
    __eq__ = object.__eq__


class Tracing:
    """One worker's traces.

    Args:
        settings: where they go, and how many.
        clock: for when things were.
        metrics: counts spans.
        log: told of a collector that takes nothing.
        masks: clients' addresses are masked.

    Attributes:
        tracer: notes what spans are made of.
    """

    def __init__(
        self, settings: "TracingSettings", clock: Clock, metrics: Metrics, log: EventLog, *, masks: bool
    ) -> None:
        rng = Random()  # noqa: S311 -- ids must differ, and may be guessed
        version = gateway_version()
        said = Resource.create(
            {
                "service.name": settings.otel_service_name,
                "service.version": version,
                "process.pid": os.getpid(),
            }
        )
        exporter = OTLPSpanExporter(settings.otel_exporter_otlp_endpoint + TRACES_PATH, timeout=EXPORT_SECS)
        self._queue = SpanQueue(
            exporter,
            lambda count: metrics.count(TRACES_EXPORTED, amount=count),
            lambda count: metrics.count(TRACES_DROPPED, amount=count),
            log,
        )
        self._maker = SpanMaker(
            OneResource(said.attributes, said.schema_url), version, rng, masked_organizations if masks else str
        )
        self._clock = clock
        self.tracer = Tracer(settings.otel_traces_sampler_arg, self._keep, clock, rng)

    def recording(self, record: Callable[[RequestContext], None]) -> Callable[[RequestContext], None]:
        """Has every request's spans made before it is recorded, so that its line can name the trace."""
        return partial(_finish, self.tracer, record)

    def close(self) -> None:
        """Export what is left, for a bounded time."""
        self._queue.close()

    def _keep(self, ctx: RequestContext, trace: RequestTrace, end: float) -> None:
        offset = self._clock.wall() - self._clock.monotonic()
        self._queue.put(self._maker.spans(ctx, trace, end, offset))


def _finish(tracer: Tracer, record: Callable[[RequestContext], None], ctx: RequestContext) -> None:
    tracer.finish(ctx)
    record(ctx)
