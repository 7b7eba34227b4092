"""What a client may send is bounded unless an operator says otherwise, and cannot be unbounded by mistake."""

import pytest
from pydantic import ValidationError

from gateway.middleware.settings import MiddlewareSettings


def test_ten_mebibytes_and_fifteen_seconds_are_the_bounds() -> None:
    settings = MiddlewareSettings()
    assert (settings.max_request_body_bytes, settings.client_body_timeout_secs) == (10_485_760, 15.0)


@pytest.mark.parametrize("mistake", [{"max_request_body_bytes": 0}, {"client_body_timeout_secs": 0}])
def test_no_bound_can_be_switched_off(mistake: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MiddlewareSettings.model_validate(mistake)
