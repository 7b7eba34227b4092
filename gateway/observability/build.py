"""Which code runs, and since when? What the supervisor says of itself once."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from gateway.observability.families.processes import BUILD, START_TIME
from gateway.observability.gauge import Gauge
from gateway.observability.metrics import Metrics

DISTRIBUTION: Final = "inference-gateway"


def tell_build(metrics: Metrics, began: float) -> None:
    """Show which code runs in this process, and since when (seconds since 1970)."""
    Gauge(metrics, BUILD, gateway_version(), platform.python_version()).set(1)
    Gauge(metrics, START_TIME).set(began)


def gateway_version() -> str:
    """The installed gateway's; `unknown` where its code was merely put on the path."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
