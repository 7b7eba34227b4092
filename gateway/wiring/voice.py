"""What does a worker say of itself? Metrics, logs, traces, and the audit trail."""

import sys
from typing import TYPE_CHECKING

from gateway.audit.choices import AuditLog
from gateway.catalog.reader import Catalog
from gateway.core.clock import Clock, SystemClock
from gateway.core.events import EventLog
from gateway.core.worker import WorkerIdentity
from gateway.middleware.chain import Layer
from gateway.middleware.refused import recording
from gateway.observability.access_line import access_line
from gateway.observability.families.processes import LOG_LINES_DROPPED
from gateway.observability.live import LiveGauges
from gateway.observability.log_writer import LogWriter
from gateway.observability.logs import build_logger, wants_console
from gateway.observability.metrics import Metrics
from gateway.observability.recorder import Recorder
from gateway.observability.redaction import redactor_of
from gateway.wiring.parts import Voice

if TYPE_CHECKING:
    from gateway.audit.trail import Trail
    from gateway.settings import Settings
    from gateway.tracing.tracing import Tracing


def build_voice(settings: "Settings", worker: WorkerIdentity) -> Voice:
    """Metrics, logs and traces; what the server refuses by itself is recorded there, too, but for traces."""
    clock = SystemClock()
    metrics = Metrics(worker.page)
    writer = LogWriter(sys.stderr.fileno(), lambda: metrics.count(LOG_LINES_DROPPED))
    log = build_logger(settings, writer)
    line = access_line(redactor_of(settings), console=wants_console(settings))
    recorder = Recorder(metrics, writer if settings.access_log else None, clock, line)
    worker.refusals.listen(recording(recorder.record, clock))
    tracing = build_tracing(settings, clock, metrics, log)
    record = recorder.record if tracing is None else tracing.recording(recorder.record)
    return Voice(clock, metrics, LiveGauges(metrics), writer, log, record, tracing)


def build_tracing(settings: "Settings", clock: Clock, metrics: Metrics, log: EventLog) -> "Tracing | None":
    """What traces requests; None where traces are off, and then nothing of it is loaded."""
    if not settings.otel_traces_enabled:
        return None
    from gateway.tracing.tracing import Tracing  # noqa: PLC0415 -- 20 MiB of libraries

    return Tracing(settings, clock, metrics, log, masks=settings.log_mask_client_ips)


def trusted_trace_layer(tracing: "Tracing | None") -> list[Layer]:
    """The layer that believes clients with a key what they say of their traces, where traces are on."""
    if tracing is None:
        return []
    from gateway.middleware.trusted_trace import TrustedTrace  # noqa: PLC0415 -- as what it asks

    return [lambda app: TrustedTrace(app, tracing.tracer)]


def queue_clock_layer(tracing: "Tracing | None") -> list[Layer]:
    """The layer that notes when a wait begins, where traces are on."""
    if tracing is None:
        return []
    from gateway.middleware.queue_clock import QueueClock  # noqa: PLC0415 -- as what it notes that moment for

    return [lambda app: QueueClock(app, tracing.tracer)]


def build_trail(settings: "Settings", voice: Voice, catalog: Catalog | None) -> "Trail | None":
    """The audit trail; None where there is none, and then nothing of it is loaded."""
    if settings.audit_log is AuditLog.OFF:
        return None
    from gateway.audit.opting import OptOuts  # noqa: PLC0415 -- workers without a trail are spared it
    from gateway.audit.trail import Trail  # noqa: PLC0415 -- the same

    folder = settings.audit_path or settings.data_path / "audit"
    return Trail(settings, folder, redactor_of(settings), OptOuts(catalog), voice.clock, voice.metrics)


def overhear_layer(trail: "Trail | None") -> list[Layer]:
    """The layer that has the audit trail hear what is said, where it keeps texts."""
    if trail is None or not trail.keeps_texts:
        return []
    from gateway.middleware.overhear import Overhear  # noqa: PLC0415 -- as the room that it hears for

    return [lambda app: Overhear(app, trail.listen)]
