"""A worker's traces, from a request's record to the collector."""

import pytest

from gateway.tracing.settings import TracingSettings
from gateway.tracing.tracing import Tracing
from tests.core.hand_time import HandTime
from tests.observability.noted import CountedMetrics
from tests.support.collector import Collector
from tests.tracing.test_exporting import Log
from tests.tracing.told import request

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("masks", "shown"), [(False, "ip:203.0.113.7"), (True, "ip:203.0.113.0")])
async def test_a_request_is_exported_and_then_recorded(*, masks: bool, shown: str) -> None:
    time, metrics = HandTime(now=1005.0, wall_now=2_000_005.0), CountedMetrics()
    with Collector() as collector:
        settings = TracingSettings(otel_exporter_otlp_endpoint=collector.url, otel_service_name="ours")
        tracing = Tracing(settings, time, metrics, Log(), masks=masks)
        recorded = []
        ctx = request(organization="ip:203.0.113.7", status=200, outcome="ok")
        tracing.recording(lambda ctx: recorded.append(ctx.trace_id))(ctx)
        tracing.close()
        (span,) = collector.spans(1)
    assert recorded == [span.trace_id]
    assert (span.began, span.ended) == (2_000_000.0, 2_000_005.0)
    assert (span.resource["service.name"], span.attributes["gateway.organization"]) == ("ours", shown)
    assert metrics.counted["gateway_traces_exported",] == 1
