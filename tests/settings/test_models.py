"""Which models do the settings describe? The flat ones and those in YAML, without two for one name."""

from pathlib import Path

import pytest

from gateway.fleet.merge import static_roster
from gateway.settings import ConfigurationError, load
from tests.settings.conftest import mistakes


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TEXT2SQL_ALIASES", "qwen", "qwen is claimed by two groups, chat and text2sql: take it out of CHAT_MODEL"),
        ("EMBED_BACKEND", "http://chat1:8000", "http://chat1:8000 is claimed by two groups, chat and embed"),
    ],
)
def test_two_groups_that_claim_one_name_or_server_stop_the_start(
    environment: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    environment.setenv("TEXT2SQL_BACKEND", "http://text2sql:8000")
    environment.setenv(name, value)
    (line,) = mistakes()
    assert words in line


MODELS = """
models:
  chat: {system_prompt_prefix: Be brief.}
  coder:
    model: Qwen/Qwen3-Coder
    aliases: [code]
    policy: least_inflight
    backends: [{name: coder0, url: "http://coder:8000", weight: 2}]
"""


def test_models_that_flat_settings_cannot_describe_stand_in_yaml(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gateway.yaml").write_text(MODELS)
    environment.setenv("GATEWAY_CONFIG", "gateway.yaml")
    chat, *_, coder = static_roster(load()).groups
    assert (chat.name, chat.shape is not None) == ("chat", True)
    assert (coder.model_names, coder.policy, coder.backends[0].weight) == (("coder", "code"), "least_inflight", 2)
    environment.setenv("GATEWAY_MODELS", '{"other": {"backends": [{"name": "o", "url": "http://o:1"}]}}')
    assert [group.name for group in static_roster(load()).groups][-1] == "other", "the environment comes first"


@pytest.mark.parametrize(
    ("stated", "parsers"),
    [
        ({}, ("hermes", "")),
        ({"CHAT_TOOL_PARSER": "mistral", "TEXT2SQL_TOOL_PARSER": "hermes"}, ("mistral", "hermes")),
        ({"CHAT_TOOL_PARSER": "none", "TEXT2SQL_TOOL_PARSER": ""}, ("", "")),
    ],
)
def test_flat_settings_say_with_which_parser_a_server_was_started(
    environment: pytest.MonkeyPatch, stated: dict[str, str], parsers: tuple[str, str]
) -> None:
    environment.setenv("TEXT2SQL_BACKEND", "http://text2sql:8000")
    for name, value in stated.items():
        environment.setenv(name, value)
    chat, text2sql = static_roster(load()).groups[:2]
    assert (chat.tool_parser, text2sql.tool_parser) == parsers


def test_a_parser_that_vllm_does_not_have_stops_the_start(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CHAT_TOOL_PARSER", "llama3")
    with pytest.raises(ConfigurationError, match=r"CHAT_TOOL_PARSER: is 'llama3': vLLM has apertus, .*llama3_json"):
        load()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("coder: {backend: []}", "models.coder has no member 'backend': there are kind, model, aliases, backends"),
        ("coder: {backends: [{nam: a}]}", "models.coder.backends has no member 'nam': there are name, url, weight"),
        ("coder: {}", "models.coder has no backends"),
        ("coder: {backends: [{name: a}]}", "models.coder.backends[0]: object missing required field `url`"),
        ("chat: {model: x}", "models.chat.model is for further models: set CHAT_MODEL"),
        (
            "chat: {tool_call_parser: mistral}",
            "tool_call_parser is for further models: set CHAT_TOOL_PARSER",
        ),
        (
            "embed: {tool_call_parser: hermes}",
            "tool_call_parser is for further models: embed calls no tools",
        ),
        ("chat: {backends: []}", "models.chat.backends is for further models: set CHAT_BACKENDS"),
        ("embed: {default_parameters: {dimensions: 8}}", "describes a group without a backend: set EMBED_BACKEND"),
        ("chat: {policy: best}", "models.chat.policy is 'best': there are round_robin"),
        ("chat: {forced_parameters: {stream: true}}", "models.chat.forced_parameters.stream is the gateway's"),
        ("chat: {reasoning: {effort: low}}", "there are chat_template_kwargs, reasoning_effort"),
        ("coder: {backends: [{name: a, url: http://169.254.169.254}]}", "metadata"),
        ("coder: {aliases: [qwen], backends: [{name: a, url: http://a:1}]}", "qwen is claimed by two groups"),
        ("coder: {fallback: nobody, backends: [{name: a, url: http://a:1}]}", "models.coder.fallback is nobody"),
        ("coder: {backends: [{name: chat0, url: http://a:1}]}", "two backends are named chat0"),
        ("[coder]", "models must be an object"),
    ],
)
def test_a_model_that_could_not_be_served_stops_the_start(
    environment: pytest.MonkeyPatch, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "gateway.yaml").write_text(f"models: {content}" if content[0] == "[" else f"models:\n  {content}\n")
    environment.setenv("GATEWAY_CONFIG", "gateway.yaml")
    environment.delenv("EMBED_BACKEND", raising=False)
    assert any(words in line for line in mistakes()), mistakes()
