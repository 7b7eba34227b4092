"""An operator's words for logs are few, and no other passes."""

import pytest
from pydantic import ValidationError

from gateway.observability.choices import LogFormat, LogLevel
from gateway.observability.settings import ObservabilitySettings


def test_an_operator_who_says_nothing_gets_every_request_logged() -> None:
    settings = ObservabilitySettings()
    assert (settings.log_level, settings.log_format, settings.access_log) == (LogLevel.INFO, LogFormat.AUTO, True)


@pytest.mark.parametrize("mistake", [{"log_level": "trace"}, {"log_format": "xml"}])
def test_an_unknown_word_is_refused(mistake: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ObservabilitySettings.model_validate(mistake)
