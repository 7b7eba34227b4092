"""Tests of the one list of settings: names, sources, mistakes and secrets."""

from pathlib import Path

import pytest

from gateway.elsewhere import ELSEWHERE, is_link
from gateway.fleet.merge import static_roster
from gateway.settings import ROOMS, ConfigurationError, Settings, distance, ignored, load, names, slip_in_environment

KEYS = {"GATEWAY_API_KEY": "sk-first-key,sk-second-key", "BACKEND_API_KEY": "backend-key-1"}
VALID = {**KEYS, "CHAT_BACKENDS": "http://chat0:8000,http://chat1:8000"}

PROMISED: dict[str, object] = {
    "MAX_RPS_PER_IP": 50,
    "RPS_WINDOW_SECS": 1,
    "RPS_BURST": 100,
    "MAX_INFLIGHT_PER_IP": 120,
    "MAX_QUEUED_PER_IP": 240,
    "UPSTREAM_MAX_CONNECTIONS": 3000,
    "UPSTREAM_MAX_KEEPALIVE": 800,
    "QUEUE_TIMEOUT_SECS": 2,
    "MAX_REQUEST_SECS": 5400,
    "STREAM_IDLE_TIMEOUT_SECS": 180,
    "GATEWAY_WORKERS": 4,
    "MAX_REQUEST_BODY_BYTES": 10 * 1024 * 1024,
    "LOG_LEVEL": "info",
    "TEXT2SQL_BACKEND": "",
    "EMBED_BACKEND": "",
    "RERANK_BACKEND": "",
    "FIRST_TOKEN_TIMEOUT_SECS": 0,
    "CLIENT_WRITE_TIMEOUT_SECS": 60,
}
"""Names that operators' files already hold, and what they mean when they are not set."""


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


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_name_exists_and_has_the_promised_default(name: str) -> None:
    assert getattr(load(), name.lower()) == PROMISED[name]


def test_every_setting_belongs_to_one_room_and_is_explained() -> None:
    assert len(names()) == len(set(names()))
    assert set(names()) == {name.upper() for name in Settings.model_fields}
    for room in ROOMS:
        for name, field in room.model_fields.items():
            assert field.description, name


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


def test_every_mistake_is_one_line_that_names_the_setting(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GATEWAY_WORKERS", "four")
    environment.setenv("QUEUE_TIMEOUT_SECS", "-1")
    environment.setenv("EMBED_BACKEND", "embed:8000")
    environment.delenv("CHAT_BACKENDS")
    lines = mistakes()
    assert len(lines) == 4
    for name in ("GATEWAY_WORKERS", "QUEUE_TIMEOUT_SECS", "EMBED_BACKEND", "CHAT_BACKENDS"):
        assert sum(name in line for line in lines) == 1
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("GATEWAY_WORKERS", "four", "GATEWAY_WORKERS must be a whole number (it is 'four')"),
        ("GATEWAY_WORKERS", "0", "GATEWAY_WORKERS must be 1 or more (it is '0')"),
        ("GATEWAY_PORT", "65536", "GATEWAY_PORT must be 65535 or less (it is '65536')"),
        ("MAX_REQUEST_SECS", "soon", "MAX_REQUEST_SECS must be a number (it is 'soon')"),
        ("MAX_REQUEST_SECS", "inf", "MAX_REQUEST_SECS must be a finite number (it is 'inf')"),
        ("RPS_BURST", "1e300", "RPS_BURST must be 1000000 or less (it is '1e300')"),
        ("MAX_RPS_PER_IP", "1e-300", "MAX_RPS_PER_IP: must be 0 (off) or 0.00001 or more"),
        ("STREAM_PING_SECS", "1e-9", "STREAM_PING_SECS: must be 0 (none) or 0.1 or more"),
        ("RPS_WINDOW_SECS", "0", "RPS_WINDOW_SECS must be more than 0 (it is '0')"),
        ("ACCESS_LOG", "perhaps", "ACCESS_LOG must be true or false (it is 'perhaps')"),
        ("LIMITER_STORE", "redis", "LIMITER_STORE must be 'lmdb' or 'memory' (it is 'redis')"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT must be 'auto', 'json' or 'console' (it is 'xml')"),
    ],
)
def test_a_refused_value_is_told_in_plain_words(
    environment: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    environment.setenv(name, value)
    assert mistakes() == (line,)


def test_mistakes_stand_in_the_order_of_the_settings(environment: pytest.MonkeyPatch) -> None:
    wrong = ("GATEWAY_PORT", "GATEWAY_API_KEY", "BACKEND_API_KEY", "MAX_RPS_PER_IP", "LOG_LEVEL")
    for name in wrong:
        environment.setenv(name, "x")
    assert tuple(line.split()[0] for line in mistakes()) == wrong


UNFIT_KEYS = [
    None,
    "change-me",
    "your-key-here",
    "todo-fill-in",
    "sk-xxxx",
    "<key>",
    "seven blanks",
    "kéy-of-seven",
    "six-ch",
]


@pytest.mark.parametrize("value", UNFIT_KEYS)
def test_an_unfit_key_is_refused_in_the_same_words_whosever_it_is_and_never_shown(
    environment: pytest.MonkeyPatch, value: str | None
) -> None:
    for name in KEYS:
        if value is None:
            environment.delenv(name)
        else:
            environment.setenv(name, value)
    client, backend = mistakes()
    assert client.startswith("GATEWAY_API_KEY ")
    assert backend == client.replace("GATEWAY_API_KEY", "BACKEND_API_KEY")
    assert value is None or value not in client


@pytest.mark.parametrize(
    "url",
    [
        "ftp://chat0:8000",
        "chat0:8000",
        "http://",
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200",
        "http://169.254.170.2",
        "http://2852039166",
        "http://0xa9.0xfe.0xa9.0xfe",
        "http://[::ffff:169.254.169.254]",
        "http://metadata.google.internal",
        "http://user:password@chat0:8000",
    ],
)
@pytest.mark.parametrize("name", ["CHAT_BACKENDS", "TEXT2SQL_BACKEND", "EMBED_BACKEND", "RERANK_BACKEND"])
def test_a_backend_that_is_no_server_or_a_metadata_service_is_refused(
    environment: pytest.MonkeyPatch, name: str, url: str
) -> None:
    environment.setenv(name, url)
    (line,) = mistakes()
    assert name in line


@pytest.mark.parametrize(
    "url",
    [
        "http://us3r:p4ss@chat0:8000",
        "http://us3r:p4ss w0rd@chat0:8000",
        "http://us3r:p4ss,w0rd@chat0:8000",
        "http://us3r:p4ss/w0rd?#@chat0:8000",
        "http://us3r:p4ss@[chat0",
        "http://us3r:p4ss\\w0rd@chat0:8000/v1",
        "us3r:p4ss@chat0:8000",
        "http:/us3r:p4ss@chat0:8000",
    ],
)
@pytest.mark.parametrize("name", ["CHAT_BACKENDS", "TEXT2SQL_BACKEND", "EMBED_BACKEND", "RERANK_BACKEND"])
def test_nothing_of_a_user_name_or_password_in_a_url_is_shown(
    environment: pytest.MonkeyPatch, name: str, url: str
) -> None:
    environment.setenv(name, url)
    (line,) = mistakes()
    assert name in line
    assert not [secret for secret in ("us3r", "p4ss", "w0rd") if secret in line]


KUBERNETES = {
    "GATEWAY_SERVICE_HOST": "10.96.0.7",
    "GATEWAY_SERVICE_PORT": "9000",
    "GATEWAY_SERVICE_PORT_HTTP": "9000",
    "GATEWAY_PORT": "tcp://10.96.0.7:9000",
    "GATEWAY_PORT_9000_TCP": "tcp://10.96.0.7:9000",
    "GATEWAY_PORT_9000_TCP_PROTO": "tcp",
    "GATEWAY_PORT_9000_TCP_PORT": "9000",
    "GATEWAY_PORT_9000_TCP_ADDR": "10.96.0.7",
    "GATEWAY_METRICS_SERVICE_HOST": "10.96.0.8",
    "GATEWAY_METRICS_PORT": "udp://10.96.0.8:53",
}
DOCKER = {
    "GATEWAY_PORT": "tcp://172.17.0.5:9000",
    "GATEWAY_PORT_9000_TCP": "tcp://172.17.0.5:9000",
    "GATEWAY_NAME": "/web/gateway",
    "GATEWAY_ENV_PYTHON_VERSION": "3.13",
}


@pytest.mark.parametrize("links", [KUBERNETES, DOCKER])
def test_what_an_orchestrator_says_of_a_service_called_gateway_stops_no_start_and_sets_nothing(
    environment: pytest.MonkeyPatch, tmp_path: Path, links: dict[str, str]
) -> None:
    for name, value in links.items():
        environment.setenv(name, value)
    assert load().gateway_port == 9000
    (tmp_path / ".env").write_text("GATEWAY_PORT=9009\n")
    assert load().gateway_port == 9009
    (line,) = ignored()
    assert line.startswith(f"GATEWAY_PORT={links['GATEWAY_PORT']} is ignored: ")
    assert "service named 'gateway'" in line
    assert "enableServiceLinks: false" in line


def test_a_port_that_an_operator_sets_is_not_ignored(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GATEWAY_PORT", "9001")
    assert (load().gateway_port, ignored()) == (9001, [])


def test_no_name_that_anybody_reads_looks_like_a_link() -> None:
    assert [name for name in (*names(), *ELSEWHERE) if is_link(name, "1")] == ["GATEWAY_ENV_FILE"]


def test_a_name_that_is_nearly_a_setting_is_taken_for_a_slip(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MAX_RPS_PER_IPS", "10")
    assert mistakes() == ("MAX_RPS_PER_IPS is no setting: is MAX_RPS_PER_IP meant?",)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("QUEUE_TIMEOUT_SEC=1", "QUEUE_TIMEOUT_SEC is no setting: is QUEUE_TIMEOUT_SECS meant?"),
        ("QUEUE_TIMEOUT=1", "QUEUE_TIMEOUT is no setting: is QUEUE_TIMEOUT_SECS meant?"),
        ("HTTPS_PORTS=1", "HTTPS_PORTS is no setting: is HTTPS_PORT meant?"),
        ("HF_HOMES=1", "HF_HOMES is no setting: is HF_HOME meant?"),
        ("COLOUR=blue", "COLOUR is no setting: .env.example lists them all"),
    ],
)
def test_any_name_in_the_env_file_that_nobody_reads_is_refused(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / ".env").write_text(f"{line}\n")
    assert mistakes() == (f".env: {words}",)


def test_names_of_others_may_stand_in_the_env_file(tmp_path: Path) -> None:
    others = ("HTTPS_PORT", "NGINX_OPERATORS", "COMPOSE_PROJECT_NAME", "VLLM_LOGGING_LEVEL", "HF_TOKEN", "TZ")
    (tmp_path / ".env").write_text("".join(f"{name}=1\n" for name in others))
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


def test_a_name_of_ours_that_nobody_knows_is_refused_in_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GATEWAY_WORKER_COUNT", "2")
    environment.setenv("GATEWAY_ENV_FILE", ".env")
    environment.setenv("COLOUR", "blue")
    assert mistakes() == ("GATEWAY_WORKER_COUNT is no setting: is GATEWAY_WORKERS meant?",)


def test_the_same_mistake_is_told_once() -> None:
    assert ConfigurationError(["a", "b", "a"]).mistakes == ("a", "b")


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


@pytest.mark.parametrize("name", ["PATH", "HF_HOME", "GATEWAY_CONFIG", "HOSTNAME", "DEMO_PORT", "HTTPS_PORT"])
def test_names_of_others_are_nobodys_slip(name: str) -> None:
    assert slip_in_environment(name) is None


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("abc", "ab", 1), ("abc", "xabc", 1), ("ab", "ba", 2)],
)
def test_distance_counts_edits(left: str, right: str, edits: int) -> None:
    assert distance(left, right) == edits


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


def test_memory_cannot_hold_one_truth_for_several_workers(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LIMITER_STORE", "memory")
    (line,) = mistakes()
    assert "GATEWAY_WORKERS is 4" in line
    environment.setenv("GATEWAY_WORKERS", "1")
    assert load().gateway_workers == 1


def test_no_key_is_shown_by_what_prints_settings() -> None:
    settings = load()
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "first-key" not in text
        assert "backend-key" not in text


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().gateway_port = 1  # type: ignore[misc]  # that it cannot be is the test
