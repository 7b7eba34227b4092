"""What a client may send is bounded unless an operator says otherwise, and cannot be unbounded by mistake."""

import pytest
from pydantic import ValidationError

from gateway.middleware.settings import MiddlewareSettings


def test_ten_mebibytes_and_fifteen_seconds_are_the_bounds() -> None:
    settings = MiddlewareSettings()
    assert (settings.max_request_body_bytes, settings.client_body_timeout_secs) == (10_485_760, 15.0)
    assert (settings.max_held_body_bytes, settings.client_body_total_secs) == (268_435_456, 120.0)


@pytest.mark.parametrize(
    "mistake",
    [
        {"max_request_body_bytes": 0},
        {"max_held_body_bytes": 0},
        {"client_body_timeout_secs": 0},
        {"client_body_total_secs": 0},
    ],
)
def test_no_bound_can_be_switched_off(mistake: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MiddlewareSettings.model_validate(mistake)


def test_one_body_that_is_allowed_must_fit_into_what_is_held() -> None:
    with pytest.raises(ValidationError, match=r"MAX_HELD_BODY_BYTES \(4096\) is less than MAX_REQUEST_BODY_BYTES"):
        MiddlewareSettings(max_request_body_bytes=4097, max_held_body_bytes=4096)
    MiddlewareSettings(max_request_body_bytes=4096, max_held_body_bytes=4096)
