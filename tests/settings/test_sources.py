"""Where are settings read? On the command line, in the environment, in `.env`, in YAML: in that order."""

from pathlib import Path

import pytest

from gateway.settings import load, names
from tests.settings.conftest import VALID, mistakes


def test_keys_and_backends_are_lists() -> None:
    settings = load()
    assert [key.get_secret_value() for key in settings.gateway_api_key] == ["sk-first-key", "sk-second-key"]
    assert list(settings.chat_backends) == ["http://chat0:8000", "http://chat1:8000"]


def test_the_command_line_goes_before_the_environment_and_that_before_the_files(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    numbers = ("GATEWAY_PORT", "MAX_RPS_PER_IP", "RPS_BURST", "MAX_INFLIGHT_PER_IP")
    (tmp_path / "gateway.yaml").write_text("".join(f"{name.lower()}: 4\n" for name in numbers))
    (tmp_path / ".env").write_text("".join(f"{name}=3\n" for name in numbers[:3]) + "GATEWAY_CONFIG=gateway.yaml\n")
    for name in numbers[:2]:
        environment.setenv(name, "2")
    settings = load(gateway_port=1)
    assert [getattr(settings, name.lower()) for name in numbers] == [1, 2, 3, 4]


def test_an_empty_value_counts_as_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GATEWAY_WORKERS", "")
    assert load().gateway_workers == 4


def test_a_line_of_the_env_file_that_cannot_be_read_is_a_mistake_that_names_it_and_shows_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_text("# a comment\n\n\nGATEWAY API KEY = sk-secret\nLOG_LEVEL\nRPS_BURST=x\n")
    first, second, third = mistakes()
    assert first == ".env, line 4: not of the form NAME=value"
    assert second == ".env, line 5: not of the form NAME=value"
    assert "RPS_BURST" in third
    assert caplog.text == ""


def test_an_env_file_that_is_no_text_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"LOG_LEVEL=\xff\n")
    assert mistakes() == (".env is not UTF-8",)


def test_a_list_in_the_env_file_is_a_list(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VALID:
        environment.delenv(name)
    lines = [f"{name}='{value}'\n" for name, value in VALID.items()]
    (tmp_path / ".env").write_text("".join(lines) + "export TRUSTED_PROXIES=10.0.0.0/8,::1\nEMBED_ALIASES=a,b\n")
    settings = load()
    assert list(settings.chat_backends) == ["http://chat0:8000", "http://chat1:8000"]
    assert (list(settings.trusted_proxies), list(settings.embed_aliases)) == (["10.0.0.0/8", "::1"], ["a", "b"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("max_rps_per_ips: 1", "is MAX_RPS_PER_IP meant?"),
        ("colour: blue", "COLOUR is no setting"),
        ("max_rps: 1", "is MAX_RPS_PER_IP meant?"),
        ("https_port: 1", "https_port is no setting of the gateway"),
        ("- a\n- b", "name: value"),
        ("a: [", "gateway.yaml, line 1: not YAML"),
        ("chat_model: ''", "CHAT_MODEL must not be empty (it is '')"),
        ("embed_aliases: {a: b}", "EMBED_ALIASES must be a list, or values separated by commas"),
        ("gateway_workers: four", "GATEWAY_WORKERS"),
    ],
)
def test_a_wrong_yaml_file_stops_the_start(
    environment: pytest.MonkeyPatch, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "gateway.yaml").write_text(content)
    environment.setenv("GATEWAY_CONFIG", "gateway.yaml")
    assert any(words in line for line in mistakes())


def test_an_unknown_yaml_key_brings_the_list_of_the_known(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("colour: blue")
    environment.setenv("GATEWAY_CONFIG", "gateway.yaml")
    assert all(name.lower() in mistakes()[-1] for name in names())


def test_a_yaml_file_that_is_not_there_stops_the_start(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GATEWAY_CONFIG", "missing.yaml")
    assert mistakes() == ("GATEWAY_CONFIG names missing.yaml, which cannot be read: No such file or directory",)


def test_a_line_of_yaml_that_cannot_be_read_is_not_shown(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("log_level: info\ngateway_api_key: 'sk-f1rst, 's3cond'\n")
    environment.setenv("GATEWAY_CONFIG", "gateway.yaml")
    assert mistakes() == ("gateway.yaml, line 2: not YAML",)


def test_lists_in_yaml_are_lists(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("chat_backends: [http://a:1, http://b:2]")
    environment.setenv("GATEWAY_CONFIG", "gateway.yaml")
    environment.delenv("CHAT_BACKENDS")
    assert list(load().chat_backends) == ["http://a:1", "http://b:2"]
