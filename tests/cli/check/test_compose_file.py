"""Tests of what is read from docker-compose.yml without running Docker."""

from pathlib import Path

import pytest

from gateway.cli.check.compose_file import COMPOSE_FILE, OVERRIDE_FILES, Compose, UnreadableError

TEXT = """
x-vllm: &vllm
  image: ${VLLM_IMAGE:-vllm/vllm-openai}
  stop_grace_period: 2m30s
services:
  models: { image: vllm/vllm-openai, entrypoint: ["python3", "-c", "pass"] }
  chat:
    <<: *vllm
    command: a-model --shutdown-timeout 120 ${CHAT_VLLM_ARGS---max-num-seqs 64}
    environment: { VLLM_API_KEY: "${KEY:?is not set}", MONEY: "$$5", EMPTY: }
  embed:
    <<: *vllm
    entrypoint: ["vllm", "serve"]
    command: ["a-model", "--shutdown-timeout=60"]
    environment: ["VLLM_HTTP_TIMEOUT_KEEP_ALIVE=30", "HANDED_ON"]
  gateway: { image: "gateway:local" }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str = TEXT, **environment: str) -> Compose:
    COMPOSE_FILE.write_text(text)
    compose = Compose.at_hand(environment)
    assert compose is not None
    return compose


def test_without_a_file_there_is_nothing(folder: Path) -> None:
    del folder
    assert Compose.at_hand({}) is None


def test_the_model_servers_are_those_that_run_vllm(folder: Path) -> None:
    del folder
    assert read().model_servers() == ["chat", "embed"]


def test_a_grace_period_that_is_not_stated_is_dockers(folder: Path) -> None:
    del folder
    assert (read().grace("chat"), read().grace("gateway")) == (150, 10)


def test_a_flag_is_found_in_both_spellings_and_the_last_one_counts(folder: Path) -> None:
    del folder
    assert read().argument("chat", "--shutdown-timeout") == "120"
    assert read().argument("embed", "--shutdown-timeout") == "60"
    assert read().argument("gateway", "--shutdown-timeout") is None
    more = read(CHAT_VLLM_ARGS="--shutdown-timeout 300")
    assert more.argument("chat", "--shutdown-timeout") == "300"


def test_variables_stand_for_what_compose_would_put_there(folder: Path) -> None:
    del folder
    assert read().argument("chat", "--max-num-seqs") == "64"
    assert read(CHAT_VLLM_ARGS="").argument("chat", "--max-num-seqs") is None
    assert read(KEY="k").environment("chat") == {"VLLM_API_KEY": "k", "MONEY": "$5"}
    assert read().environment("embed") == {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "30"}
    assert read().environment("nobody") == {}


@pytest.mark.parametrize("text", ["services: [", "services: 3", "- a\n", "services: {a: b}"])
def test_what_is_no_compose_file_says_so(folder: Path, text: str) -> None:
    del folder
    with pytest.raises(UnreadableError, match=r"^docker-compose\.yml"):
        read(text)


def test_an_empty_file_has_no_services(folder: Path) -> None:
    del folder
    assert read("").model_servers() == []


OVERRIDE = """
services:
  chat:
    stop_grace_period: 30s
    command: ["a-model"]
    environment: ["VLLM_API_KEY=another", "MORE=${MORE:-1}"]
  embed:
    environment: !override
      ONLY: "2"
    entrypoint: !reset null
  models: !reset null
  rerank: { image: vllm/vllm-openai, environment: !override ["A=1"], stop_grace_period: !override 20s }
"""


def overridden(file: Path, text: str = OVERRIDE) -> Compose:
    file.write_text(text)
    return read()


@pytest.mark.parametrize("file", OVERRIDE_FILES, ids=str)
def test_an_override_file_is_merged_as_compose_does(folder: Path, file: Path) -> None:
    del folder
    compose = overridden(file)
    assert compose.name == f"docker-compose.yml with {file}"
    assert (compose.grace("chat"), compose.argument("chat", "--shutdown-timeout")) == (30, None)
    assert compose.environment("chat") == {"VLLM_API_KEY": "another", "MONEY": "$5", "MORE": "1"}
    assert compose.environment("embed") == {"ONLY": "2"}
    assert compose.argument("embed", "--shutdown-timeout") == "60"
    assert compose.environment("rerank") == {"A": "1"}
    assert compose.grace("rerank") == 20
    assert compose.has("gateway")
    assert not compose.has("models")
    assert compose.model_servers() == ["chat", "embed", "rerank"]


def test_the_first_override_file_counts_alone(folder: Path) -> None:
    del folder
    for secs, file in enumerate(OVERRIDE_FILES, 1):
        file.write_text(f"services: {{chat: {{stop_grace_period: {secs}s}}}}")
    assert read().grace("chat") == 1


def test_an_override_that_is_no_compose_file_is_named(folder: Path) -> None:
    del folder
    with pytest.raises(UnreadableError, match=r"^docker-compose\.override\.yml, line 1: not YAML"):
        overridden(Path("docker-compose.override.yml"), "services: [")
