"""What do tests of the settings share? A valid environment in an empty folder, and what is wrong with another."""

from pathlib import Path

import pytest

from gateway.settings import ConfigurationError, load, names

KEYS = {"GATEWAY_API_KEY": "sk-first-key,sk-second-key", "BACKEND_API_KEY": "backend-key-1"}
VALID = {**KEYS, "CHAT_BACKENDS": "http://chat0:8000,http://chat1:8000"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A valid configuration, and nothing else of ours, in an empty folder."""
    for name in (*names(), "GATEWAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in VALID.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def mistakes() -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load()
    return caught.value.mistakes
