"""A rate that means something, or none at all."""

import pytest
from pydantic import ValidationError

from gateway.core.asgi import Headers
from gateway.core.clock import SystemClock
from gateway.limits.settings import LEAST_RATE, MOST, MOST_WINDOW_SECS, LimitsSettings
from gateway.limits.token_bucket import RateLimiter
from gateway.store.memory import MemoryStore
from gateway.store.settings import StoreSettings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "mistake",
    [
        {"max_rps_per_ip": 1e300},
        {"max_rps_per_ip": LEAST_RATE / 2},
        {"max_rps_per_ip": -1},
        {"rps_burst": 1e300},
        {"rps_window_secs": 1e300},
        {"rps_window_secs": 0},
        {"failed_auth_per_sec": 1e300},
        {"failed_auth_per_sec": 1e-300},
        {"failed_auth_burst": 1e300},
    ],
)
def test_rates_beyond_all_measure_are_refused(mistake: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        LimitsSettings.model_validate(mistake)


@pytest.mark.parametrize("rate", [LEAST_RATE, MOST])
async def test_whatever_is_allowed_is_told_in_a_few_digits(rate: float) -> None:
    settings = LimitsSettings(max_rps_per_ip=rate, rps_burst=MOST, rps_window_secs=MOST_WINDOW_SECS)
    store = MemoryStore(StoreSettings(), SystemClock())
    await store.open()
    headers: Headers = []
    await RateLimiter(settings, store).take("203.0.113.7", headers)
    await store.close()
    assert len(headers) == 3
    assert all(len(value) <= 20 for _, value in headers)
