"""Which values will do? What is refused is told in one line that names the setting and shows no secret."""

import pytest

from gateway.settings import ConfigurationError, load
from tests.settings.conftest import KEYS, mistakes


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


def test_the_same_mistake_is_told_once() -> None:
    assert ConfigurationError(["a", "b", "a"]).mistakes == ("a", "b")


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
