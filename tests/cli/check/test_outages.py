"""Tests of what `gateway check` says of failing backends: the seconds are those of the settings."""

from typing import Any

import pytest

from gateway.backends import prober
from gateway.cli.check.outages import breaker, health
from gateway.settings import Settings, load


def settings(**others: Any) -> Settings:
    """Those that a gateway needs, and others."""
    keys = {"gateway_api_key": ["sk-of-a-test"], "backend_api_key": "key-of-a-test", "chat_backends": ("http://a:1",)}
    return load(None, **{**keys, **others})


def seconds(**others: Any) -> list[float]:
    """The times of the health lines, in their order."""
    return [float(line.split()[0]) for line in health(settings(**others))[1:-1]]


def test_the_defaults_are_the_times_that_are_promised() -> None:
    assert seconds() == [prober.TICK_SECS, 10, 15, 21, 41, 3]


@pytest.mark.parametrize(
    ("changed", "times"),
    [
        ({"backend_probe_interval_secs": 20}, [0.25, 20, 25, 31, 51, 3]),
        ({"backend_probe_interval_secs": 0.5}, [0.25, 0.5, 5.5, 11, 31, 1.5]),
        ({"backend_probe_timeout_secs": 2}, [0.25, 10, 12, 15, 41, 3]),
        ({"backend_down_after": 3}, [2.25, 12, 27, 21, 41, 3]),
        ({"backend_down_after_under_load": 3}, [0.25, 10, 15, 27, 41, 3]),
        ({"backend_stall_secs": 100}, [0.25, 10, 15, 21, 111, 3]),
        ({"backend_up_after": 1}, [0.25, 10, 15, 21, 41, 1]),
    ],
)
def test_each_setting_moves_the_times_that_it_decides(changed: dict[str, Any], times: list[float]) -> None:
    assert seconds(**changed) == pytest.approx(times)


def test_the_time_to_load_is_said() -> None:
    assert "For 77 s after the start" in health(settings(backend_loading_secs=77))[-1]


def test_a_circuit_is_told_with_its_numbers() -> None:
    chosen = {"circuit_failure_threshold": 7, "circuit_recovery_timeout": 4, "circuit_max_recovery_secs": 64}
    words = " ".join(breaker(settings(**chosen)))
    assert "7 failures in a row open it for 4 s" in words
    assert "doubles the pause, up to 64 s" in words
    steady = {"circuit_failure_threshold": 1, "circuit_recovery_timeout": 4, "circuit_max_recovery_secs": 1}
    assert "one failure opens it" in " ".join(breaker(settings(**steady)))
    assert "each that fails renews it" in " ".join(breaker(settings(**steady)))
