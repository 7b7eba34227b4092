"""Tests of the ladder of time-outs: the shipped files agree with the defaults, and each rung that breaks is told."""

import re
import shutil
from pathlib import Path

import pytest

from gateway.cli.check.neighbours import ENDING_SECS, NGINX_RUNGS, Neighbours
from gateway.server.channel import farewell_secs
from gateway.settings import Settings, load

ROOT = Path(__file__).parents[3]
REQUIRED = {
    "gateway_api_key": "sk-of-a-client-0123456789",
    "backend_api_key": "of-the-backends-0123456789",
    "chat_backends": "http://chat0:8000",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that are shipped."""
    shutil.copytree(ROOT / "nginx", tmp_path / "nginx")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(**changed: float) -> Settings:
    return load(None, **REQUIRED, **changed)


def findings(**changed: float) -> list[str]:
    return Neighbours.at_hand().findings(settings(**changed))


def replace(file: Path, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, by, file.read_text())
    assert count
    file.write_text(text)


def test_the_shipped_files_agree_with_the_default_settings(folder: Path) -> None:
    del folder
    assert findings() == []
    (line,) = Neighbours.at_hand().compared()
    assert "nginx/nginx.conf and docker-compose.yml" in line


def test_alone_only_vllms_own_default_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (findings(), Neighbours.at_hand().compared()) == ([], [])
    (doubt,) = findings(upstream_keepalive_secs=5)
    assert "must be below the 5 s after which vLLM closes an idle connection" in doubt
    assert doubt.startswith(".env: ")
    assert doubt.endswith("write UPSTREAM_KEEPALIVE_SECS=4")


@pytest.mark.parametrize(
    ("setting", "value", "directive", "advice"),
    [
        ("client_keepalive_secs", 60, "keepalive_timeout", "`keepalive_timeout 48s;`"),
        ("max_request_secs", 6000, "proxy_read_timeout", "`proxy_read_timeout 6600s;`"),
        ("max_request_secs", 6000, "worker_shutdown_timeout", "`worker_shutdown_timeout 6600s;`"),
        ("client_header_timeout_secs", 9, "client_header_timeout", "NGINX_CLIENT_HEADER_TIMEOUT=9s for the nginx"),
        ("client_body_timeout_secs", 14, "client_body_timeout", "NGINX_CLIENT_BODY_TIMEOUT=14s for the nginx"),
        ("client_write_timeout_secs", 180, "send_timeout", "NGINX_SEND_TIMEOUT=200s for the nginx"),
    ],
)
def test_each_rung_of_nginx_that_breaks_is_told_with_what_to_write(
    folder: Path, setting: str, value: float, directive: str, advice: str
) -> None:
    del folder
    (doubt,) = [words for words in findings(**{setting: value}) if f" {directive} is" in words]
    assert doubt.startswith(f"nginx/nginx.conf: {directive} is ")
    assert f"{setting.upper()} ({value} s)" in doubt
    assert f"write {advice}" in doubt


def test_every_rung_is_broken_by_a_test_above() -> None:
    (mark,) = test_each_rung_of_nginx_that_breaks_is_told_with_what_to_write.pytestmark  # type: ignore[attr-defined]  # pytest puts it there
    assert {row[2] for row in mark.args[1]} == {rung.directive for rung in NGINX_RUNGS}


def test_a_directive_that_is_not_there_has_nginxs_default(folder: Path) -> None:
    replace(folder / "nginx/nginx.conf", r"proxy_read_timeout 6000s;", "")
    (doubt,) = findings()
    assert "proxy_read_timeout is 60 s and must be above MAX_REQUEST_SECS (5400 s)" in doubt


def test_what_compose_gives_to_nginx_and_the_gateway_counts(folder: Path) -> None:
    compose = folder / "docker-compose.yml"
    replace(compose, r"      HTTPS_PORT: .*\n", '      NGINX_CLIENT_BODY_TIMEOUT: "20s"\n')
    replace(compose, r'      GATEWAY_PORT: "9000"\n', '      DRAIN_SECS: "148"\n')
    body, drain = findings()
    assert "client_body_timeout is 20 s" in body
    assert "must be above DRAIN_SECS (148 s)" in drain


def test_idle_connections_are_kept_for_less_than_the_shortest_of_the_servers(folder: Path) -> None:
    replace(folder / "docker-compose.yml", r'  HF_HUB_OFFLINE: "1"\n', '  VLLM_HTTP_TIMEOUT_KEEP_ALIVE: "30"\n')
    assert findings(upstream_keepalive_secs=29) == []
    (doubt,) = findings(upstream_keepalive_secs=30)
    assert "must be below the 30 s after which chat0 closes" in doubt
    assert doubt.endswith("write UPSTREAM_KEEPALIVE_SECS=24")


@pytest.mark.parametrize(("drain", "told"), [(138.9, False), (139, True)])
def test_docker_gives_the_gateway_its_drain_and_its_end(folder: Path, *, drain: float, told: bool) -> None:
    del folder
    sentence = (
        f"docker-compose.yml: gateway is killed 150 s after SIGTERM, which must be above DRAIN_SECS ({drain:g} s) "
        "and 11 s to end: write stop_grace_period: 170s"
    )
    assert findings(drain_secs=drain) == ([sentence] if told else [])


def test_what_is_granted_for_the_end_is_what_the_supervisor_takes() -> None:
    assert farewell_secs(0) == ENDING_SECS


def test_docker_gives_vllm_its_shutdown_time_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del folder
    monkeypatch.setenv("CHAT_VLLM_ARGS", "--shutdown-timeout 150")
    assert [words.partition(": write")[0] for words in findings()] == [
        f"docker-compose.yml: {name} is killed 150 s after SIGTERM, which must be above --shutdown-timeout (150 s)"
        for name in ("chat0", "chat1")
    ]


def test_a_server_that_aborts_what_it_runs_is_told_of(folder: Path) -> None:
    compose = folder / "docker-compose.yml"
    replace(compose, r"(?s)(BAAI/bge-reranker-v2-m3\n      --runner.*?)--shutdown-timeout 120\n", r"\1\n")
    (doubt,) = findings()
    assert doubt.startswith("docker-compose.yml: rerank has no --shutdown-timeout")


def test_a_file_that_cannot_be_read_is_told_of_and_the_rest_is_compared(folder: Path) -> None:
    (folder / "docker-compose.yml").write_text("services: [")
    doubts = findings(client_keepalive_secs=30)
    assert [doubt.partition(":")[0] for doubt in doubts] == ["docker-compose.yml, line 1", "nginx/nginx.conf"]


def test_what_an_override_file_states_is_what_counts(folder: Path) -> None:
    (folder / "docker-compose.override.yml").write_text("services: {gateway: {stop_grace_period: 20s}}")
    (finding,) = findings()
    assert finding.startswith(
        "docker-compose.yml with docker-compose.override.yml: gateway is killed 20 s after SIGTERM"
    )
    (line,) = Neighbours.at_hand().compared()
    assert line.endswith("docker-compose.override.yml.")
