"""What may be said of traces, and what stops a start."""

from typing import Any

import pytest
from pydantic import ValidationError

import gateway.tracing.settings
from gateway.tracing.settings import TracingSettings


def test_traces_are_off_and_all_are_sampled_where_they_are_on() -> None:
    settings = TracingSettings()
    assert (settings.otel_traces_enabled, settings.otel_traces_sampler_arg) == (False, 1.0)


def test_the_end_of_a_collectors_url_is_ours_to_add() -> None:
    settings = TracingSettings(otel_exporter_otlp_endpoint="https://c:4318/otlp/")
    assert settings.otel_exporter_otlp_endpoint == "https://c:4318/otlp"


@pytest.mark.parametrize(
    "mistake",
    [
        {"otel_exporter_otlp_endpoint": "collector:4318"},
        {"otel_exporter_otlp_endpoint": "grpc://collector:4317"},
        {"otel_exporter_otlp_endpoint": "http://a b"},
        {"otel_exporter_otlp_endpoint": "http://ö:4318"},
        {"otel_exporter_otlp_protocol": "grpc"},
        {"otel_traces_sampler_arg": -0.1},
        {"otel_traces_sampler_arg": 1.1},
        {"otel_service_name": ""},
    ],
)
def test_what_cannot_be_is_refused(mistake: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TracingSettings.model_validate(mistake)


def test_a_password_belongs_into_a_header() -> None:
    with pytest.raises(ValidationError, match="OTEL_EXPORTER_OTLP_HEADERS"):
        TracingSettings(otel_exporter_otlp_endpoint="http://me:secret@c:4318")


@pytest.mark.parametrize("library", ["nothing.of.that.name", "nothing_of_that_name"])
def test_a_start_without_the_extra_says_what_to_install(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TracingSettings(otel_traces_enabled=True).otel_traces_enabled
    monkeypatch.setattr(gateway.tracing.settings, "LIBRARIES", (library,))
    with pytest.raises(ValidationError, match=r"pip install 'inference-gateway\[otel\]'"):
        TracingSettings(otel_traces_enabled=True)
    assert not TracingSettings().otel_traces_enabled
