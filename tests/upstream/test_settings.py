"""Limits of the wire are checked at start."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.upstream.settings import UpstreamSettings


def test_the_defaults_are_the_documented_ones() -> None:
    settings = UpstreamSettings()
    assert (settings.upstream_max_connections, settings.upstream_max_keepalive) == (3000, 800)
    assert settings.upstream_keepalive_secs < 5
    assert UpstreamSettings.model_validate({"upstream_ca_file": ""}).upstream_ca_file is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("upstream_max_connections", 0),
        ("upstream_max_keepalive", -1),
        ("upstream_keepalive_secs", -0.1),
        ("upstream_connect_timeout_secs", 0),
        ("upstream_dns_secs", -1),
    ],
)
def test_what_cannot_work_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name):
        UpstreamSettings.model_validate({name: value})


def test_a_ca_file_must_hold_certificates(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ValidationError, match="cannot be read as PEM certificates"):
            UpstreamSettings.model_validate({"upstream_ca_file": path})


def test_every_field_says_what_it_does() -> None:
    assert all(field.description for field in UpstreamSettings.model_fields.values())
