"""Which names are settings? Those that operators' files hold stay, and a name that nobody reads is told of."""

from pathlib import Path

import pytest

from gateway.elsewhere import ELSEWHERE, is_link
from gateway.settings import ROOMS, Settings, distance, ignored, load, names, slip_in_environment
from tests.settings.conftest import mistakes

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


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_name_exists_and_has_the_promised_default(name: str) -> None:
    assert getattr(load(), name.lower()) == PROMISED[name]


def test_every_setting_belongs_to_one_room_and_is_explained() -> None:
    assert len(names()) == len(set(names()))
    assert set(names()) == {name.upper() for name in Settings.model_fields}
    for room in ROOMS:
        for name, field in room.model_fields.items():
            assert field.description, name


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


def test_a_name_of_ours_that_nobody_knows_is_refused_in_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GATEWAY_WORKER_COUNT", "2")
    environment.setenv("GATEWAY_ENV_FILE", ".env")
    environment.setenv("COLOUR", "blue")
    assert mistakes() == ("GATEWAY_WORKER_COUNT is no setting: is GATEWAY_WORKERS meant?",)


@pytest.mark.parametrize("name", ["PATH", "HF_HOME", "GATEWAY_CONFIG", "HOSTNAME", "DEMO_PORT", "HTTPS_PORT"])
def test_names_of_others_are_nobodys_slip(name: str) -> None:
    assert slip_in_environment(name) is None


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [
        ("", "", 0),
        ("abc", "abc", 0),
        ("abc", "abd", 1),
        ("abc", "ab", 1),
        ("abc", "xabc", 1),
        ("ab", "ba", 2),
        ("abcdef", "xbcyef", 2),
        ("abcdef", "uvwxyz", 3),
        ("", "abcd", 3),
    ],
)
def test_distance_counts_edits(left: str, right: str, edits: int) -> None:
    assert distance(left, right) == edits
