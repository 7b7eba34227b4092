"""Tests of the commands, run as an operator runs them."""

import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import orjson
import pytest

from gateway.settings import names

ENOUGH_SECS = 50


@pytest.fixture
def environment() -> dict[str, str]:
    """This process's environment without settings of the gateway."""
    return {name: value for name, value in os.environ.items() if name not in {*names(), "GATEWAY_CONFIG"}}  # noqa: TID251 -- handed on


def run(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`gateway` with these arguments."""
    return subprocess.run(  # noqa: S603 -- this interpreter, our own module
        [sys.executable, "-P", "-m", "gateway", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=ENOUGH_SECS,
        check=False,
    )


def test_help_names_every_command(tmp_path: Path, environment: dict[str, str]) -> None:
    result = run("--help", cwd=tmp_path, env=environment)
    for command in ("serve", "demo", "simulate", "init", "db", "check", "healthcheck"):
        assert f"  {command} " in result.stdout
    assert "..." not in result.stdout.partition("Commands:")[2], "a short help was cut"


def test_check_explains_first_doubts_last_and_has_no_trailing_blanks(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    settings = {"STREAM_IDLE_TIMEOUT_SECS": "9000"}
    lines = run("check", cwd=tmp_path, env={**environment, **settings}).stdout.splitlines()
    starts = [
        "Read from the environment and ",
        "Limits of one",
        "Quotas of one",
        "Models, where",
        "Time-outs",
        "Where the gateway listens",
        " * differs",
        "Worth a second",
    ]
    found = [index for start in starts for index, line in enumerate(lines) if line.startswith(start)]
    assert found == sorted(found)
    assert len(found) == len(starts)
    assert [line for line in lines if line != line.rstrip()] == []


def test_check_says_what_compose_sets_itself_where_there_is_a_compose_file(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    said = "docker-compose.yml sets these itself: GATEWAY_HOST, GATEWAY_PORT, METRICS_HOST, METRICS_PORT, CHAT_BACKENDS"
    assert said not in run("check", cwd=tmp_path, env=environment).stdout
    (tmp_path / "docker-compose.yml").touch()
    assert said in run("check", cwd=tmp_path, env=environment).stdout


def test_check_says_what_clients_call_each_model_and_where_it_is(tmp_path: Path, environment: dict[str, str]) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    said = run("check", cwd=tmp_path, env=environment).stdout
    assert "  chat      http://chat0:8000, http://chat1:8000\n            asked for as qwen, Qwen/Qwen2.5-7B" in said
    assert "asked for as Snowflake/Arctic-Text2SQL-R1-7B, text2sql\n" in said


def test_a_kubernetes_service_called_gateway_is_told_of_and_does_not_count(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    link = {"GATEWAY_PORT": "tcp://10.96.0.7:9000"}
    result = run("check", cwd=tmp_path, env={**environment, **link})
    assert result.returncode == 0, result.stderr
    assert "GATEWAY_PORT=tcp://10.96.0.7:9000 is ignored: " in result.stdout
    assert re.search(r"^ +GATEWAY_PORT +9000$", result.stdout, re.MULTILINE)


def test_serve_starts_beside_a_kubernetes_service_called_gateway_and_says_what_it_ignores(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    own = {"LIMITER_STORE": "memory", "GATEWAY_WORKERS": "1", "METRICS_PORT": "0", "LOG_FORMAT": "json"}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "gateway", "serve", "--port", "0"],
        cwd=tmp_path,
        env={**environment, **own, "GATEWAY_PORT": "tcp://10.96.0.7:9000"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        events = map(orjson.loads, process.stderr)
        first = next(events)
        starts = any(event["event"] == "listening" for event in events)
        process.terminate()
        process.stderr.read()
        assert process.wait(ENOUGH_SECS) == 0
    assert (first["event"], first["level"]) == ("setting_ignored", "warning")
    assert "tcp://10.96.0.7:9000 is ignored" in first["why"]
    assert starts


@pytest.mark.parametrize("command", ["check", "serve"])
def test_nothing_of_a_password_in_a_backends_url_is_shown(
    command: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    result = run(command, cwd=tmp_path, env={**environment, "EMBED_BACKEND": "http://us3r:p4ss w0rd@embed:8000"})
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("gateway: EMBED_BACKEND: a URL must not hold a user name or password")
    assert not [secret for secret in ("us3r", "p4ss", "w0rd") if secret in result.stderr]


@pytest.mark.parametrize("command", ["check", "serve"])
def test_two_groups_with_one_name_are_a_mistake_before_anything_starts(
    command: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    result = run(command, cwd=tmp_path, env={**environment, "TEXT2SQL_ALIASES": "qwen"})
    (line,) = result.stderr.splitlines()
    assert (result.returncode, line.partition(",")[0]) == (1, "gateway: qwen is claimed by two groups")


def test_a_line_of_env_that_cannot_be_read_is_told_once(tmp_path: Path, environment: dict[str, str]) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    with (tmp_path / ".env").open("a") as file:
        file.write("this is no line\n")
    number = len((tmp_path / ".env").read_text().splitlines())
    result = run("check", cwd=tmp_path, env=environment)
    assert result.stderr == f"gateway: .env, line {number}: not of the form NAME=value\n"


def test_an_unknown_command_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    assert run("fly", cwd=tmp_path, env=environment).returncode == 2


def test_init_makes_a_private_file_that_check_accepts(tmp_path: Path, environment: dict[str, str]) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    result = run("check", cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stderr
    assert "http://chat0:8000,http://chat1:8000" in result.stdout


def test_init_never_writes_over_a_file_and_never_the_same_keys(tmp_path: Path, environment: dict[str, str]) -> None:
    for name in ("one", "two"):
        assert run("init", "--file", name, cwd=tmp_path, env=environment).returncode == 0
    before = (tmp_path / "one").read_text()
    assert before != (tmp_path / "two").read_text()
    result = run("init", "--file", "one", cwd=tmp_path, env=environment)
    assert result.returncode == 1
    assert "exists" in result.stderr
    assert (tmp_path / "one").read_text() == before


def test_init_chooses_every_secret_and_no_two_alike(tmp_path: Path, environment: dict[str, str]) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    stated = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if line[:1].isalpha())
    secrets = ("GATEWAY_API_KEY", "BACKEND_API_KEY", "ADMIN_API_KEY", "GRAFANA_ADMIN_PASSWORD")
    assert all(len(stated[name]) > 40 for name in secrets)
    assert len({stated[name] for name in secrets}) == len(secrets)


def test_init_with_servers_of_compose_names_them_by_passwords_of_their_own(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    assert run("init", "--with", "postgres", "--with", "redis", cwd=tmp_path, env=environment).returncode == 0
    stated = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if line[:1].isalpha())
    assert stated["COMPOSE_PROFILES"] == "postgres,redis"
    assert stated["BACKENDS_SHARED"] == "on"
    assert stated["REDIS_URL"] == f"redis://:{stated['VALKEY_PASSWORD']}@valkey:6379/0"
    assert stated["DATABASE_URL"] == f"postgresql://gateway:{stated['POSTGRES_PASSWORD']}@postgres:5432/gateway"
    chosen = {stated[name] for name in ("VALKEY_PASSWORD", "POSTGRES_PASSWORD", "KEY_HASH_SECRET")}
    assert len(chosen) == 3
    assert all(len(secret) > 40 for secret in chosen)
    result = run("check", cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stderr
    assert not [secret for secret in chosen if secret in result.stdout]


def test_check_explains_limits_and_time_outs_and_shows_no_key(tmp_path: Path, environment: dict[str, str]) -> None:
    settings = {
        "GATEWAY_API_KEY": "sk-of-a-client-of-this-test",
        "BACKEND_API_KEY": "of-the-backends",
        "CHAT_BACKENDS": "http://a:1",
        "MAX_RPS_PER_IP": "7",
        "RPS_BURST": "3",
        "MAX_INFLIGHT_PER_IP": "11",
        "STREAM_IDLE_TIMEOUT_SECS": "150",
    }
    result = run("check", cwd=tmp_path, env={**environment, **settings})
    assert result.returncode == 0, result.stderr
    assert "7 requests a second on average and 7 at once" in result.stdout
    assert "11 of its requests run at a time" in result.stdout
    assert "150 s  between two tokens" in result.stdout
    assert "Worth a second look" not in result.stdout
    assert "A wrong key is answered with 401; after 20 in a row, and more than 1 a second, 429." in result.stdout
    assert "sk-of-a-client-of-this-test" not in result.stdout
    assert "of-the-backends" not in result.stdout


@pytest.mark.parametrize("name", ["STREAM_IDLE_TIMEOUT_SECS", "FIRST_TOKEN_TIMEOUT_SECS"])
def test_check_doubts_a_cap_that_a_shorter_one_always_comes_before(
    name: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    said = f"Worth a second look:\n  {name} is longer than MAX_REQUEST_SECS, which ends a request first\n"
    assert run("check", cwd=tmp_path, env={**environment, name: "99999"}).stdout.endswith(said)
    assert said not in run("check", cwd=tmp_path, env={**environment, name: "5400"}).stdout


def test_check_doubts_that_it_is_known_whose_a_server_without_a_full_name_is(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    assert run("init", cwd=tmp_path, env=environment).returncode == 0
    servers = {"CHAT_BACKENDS": "http://chat0:8000,http://10.0.0.5:8000", "TEXT2SQL_BACKEND": "http://localhost:1"}
    shared = {**environment, **servers, "REDIS_URL": "redis://10.0.0.4"}
    said = run("check", cwd=tmp_path, env=shared).stdout
    (doubt,) = [line for line in said.splitlines() if "BACKENDS_SHARED=auto takes that for another server" in line]
    assert "chat0 at http://chat0:8000, text2sql at http://localhost:1, " in doubt
    assert "10.0.0.5" not in doubt
    settled = ({**shared, "BACKENDS_SHARED": "on"}, {**shared, "BACKENDS_SHARED": "off"}, {**shared, "REDIS_URL": ""})
    assert not any("BACKENDS_SHARED=auto" in run("check", cwd=tmp_path, env=env).stdout for env in settled)


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_wrong_configuration_is_one_line_per_mistake(
    command: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    result = run(command, cwd=tmp_path, env={**environment, "GATEWAY_WORKERS": "none"})
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    for name in ("GATEWAY_API_KEY", "BACKEND_API_KEY", "CHAT_BACKENDS", "GATEWAY_WORKERS"):
        assert sum(line.startswith("gateway: ") and name in line for line in lines) == 1


def test_simulate_hands_its_arguments_on_untouched(tmp_path: Path, environment: dict[str, str]) -> None:
    result = run("simulate", "a-model", "--no-such-flag", cwd=tmp_path, env=environment)
    assert result.returncode == 2
    assert "gateway simulate: error: unrecognized arguments: --no-such-flag" in result.stderr


def test_simulate_explains_itself_and_every_flag_that_it_lists(tmp_path: Path, environment: dict[str, str]) -> None:
    words = run("simulate", "--help", cwd=tmp_path, env=environment).stdout
    assert words.startswith("usage: gateway simulate [")
    assert "a vLLM server without a GPU" in " ".join(words.split())
    flags = words.partition("options:")[2].splitlines()
    bare = [
        line.strip()
        for line, following in zip(flags, [*flags[1:], ""], strict=True)
        if line.startswith("  --") and "  " not in line.strip() and not following.startswith(" " * 20)
    ]
    assert bare == []


@pytest.fixture
def server() -> Iterator[str]:
    """A server whose /good answers 200 and everything else 503."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/good" else 503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def test_healthcheck_tells_by_its_status(server: str, tmp_path: Path, environment: dict[str, str]) -> None:
    assert run("healthcheck", f"{server}/good", cwd=tmp_path, env=environment).returncode == 0
    bad = run("healthcheck", f"{server}/bad", cwd=tmp_path, env=environment)
    assert (bad.returncode, "503" in bad.stderr) == (1, True)
    refused = run("healthcheck", "http://127.0.0.1:1/health", cwd=tmp_path, env=environment)
    assert (refused.returncode, "refused" in refused.stderr) == (1, True)


def test_a_health_check_loads_no_more_than_it_needs(tmp_path: Path, environment: dict[str, str]) -> None:
    code = (
        "import sys, gateway.cli; gateway.cli.main(['healthcheck', '--help'], standalone_mode=False);"
        "print(sorted({'fastapi', 'lmdb', 'prometheus_client'} & set(sys.modules)))"
    )
    result = subprocess.run(  # noqa: S603 -- this interpreter, our own words
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.endswith("[]\n")
