"""Does the stack come up, answer and get watched? All of it without GPUs, through TLS, as an operator starts it."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compose import running
from tests.compose.deployed import check_out, deploy, told
from tests.compose.project import BACKEND_KEY, GATEWAY_KEY, GRAFANA_PASSWORD, MONITORING, Project
from tests.compose.running import UP_SECS, Stack, eventually, free_port
from tests.support import docker
from tests.support.nginx import development_certificate

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]

WATCHERS = {"prometheus": "prometheus", "alertmanager": "alertmanager", "nginx-exporter": "nginx-exporter"}
"""The services of docker-compose.monitoring.yml of which there are stand-ins, and their names."""
WITHOUT_A_STANDIN = {"grafana", "otel-collector", "tempo"}
MESSAGES = [{"role": "user", "content": "How many orders were there yesterday?"}]
RELAYED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "qwen", "messages": MESSAGES, "max_tokens": 8},
    "/v1/completions": {"model": "qwen", "prompt": "Once", "max_tokens": 8},
    "/v1/text2sql": {"messages": MESSAGES, "max_tokens": 8},
    "/v1/embeddings": {"model": "snowflake-arctic-embed", "input": "a text"},
    "/v1/rerank": {"model": "bge-reranker-v2-m3", "query": "a", "documents": ["a", "b"]},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack as it is by default."""
    with running.stack(tmp_path_factory.mktemp("stack"), {}) as made:
        made.wait_until_ready()
        yield made


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client() as made:
        yield made


def test_every_container_is_well(stack: Stack) -> None:
    states = stack.containers()
    assert states.pop("inference-models") == "exited/0"
    assert set(states.values()) == {"running/healthy0"}
    assert set(states) >= {"inference-nginx", "vllm-chat0", "vllm-chat1", "vllm-text2sql", "vllm-embed", "vllm-rerank"}


@pytest.mark.parametrize("path", RELAYED)
def test_every_endpoint_answers_through_tls(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json=RELAYED[path])
    assert answer.status_code == 200, f"{path}: {answer.text}"


def test_models_are_told_to_who_has_a_key(client: httpx.Client) -> None:
    assert client.get("/v1/models").status_code == 200
    assert client.get("/v1/models", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_stream_ends_with_its_mark(client: httpx.Client) -> None:
    body = {**RELAYED["/v1/chat/completions"], "stream": True}
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert len(lines) > 2
    assert lines[-1] == "data: [DONE]"


def test_the_operators_paths_are_hidden(stack: Stack, client: httpx.Client) -> None:
    # The very same answer, whoever gives it.
    unknown, hidden = client.get("/v1/unknown"), client.get("/admin/keys")
    assert (unknown.status_code, hidden.status_code, client.get("/metrics").status_code) == (404, 404, 404)
    assert unknown.json() == hidden.json()
    assert "# TYPE" in stack.succeed("exec", "-T", "nginx", "curl", "-ksS", "https://127.0.0.1/metrics")


def test_no_key_is_on_a_command_line(stack: Stack) -> None:
    for container in stack.inspect(*stack.containers()):
        words = str((container["Path"], container["Args"], container["Config"]["Cmd"]))
        assert GATEWAY_KEY not in words
        assert BACKEND_KEY not in words


def test_a_scaled_gateway_is_followed(stack: Stack, client: httpx.Client) -> None:
    stack.succeed("up", "--detach", "--no-build", "--no-recreate", "--wait", "--scale", "gateway=2", "gateway")
    _the_replicas_are_asked_together(stack)
    stack.succeed("stop", "--timeout", "5", "gateway")
    seen = client.get("/health")
    # 504 while nginx still tries an address that nobody has any more: at most 2 s after the stop, 2 s for each attempt.
    assert (seen.status_code, seen.json()["error"]["code"]) in {(502, "bad_gateway"), (504, "gateway_timeout")}
    # Both come back, at whatever addresses: nginx asks the DNS again every 2 s. A request may wait for the workers.
    stack.succeed("start", "gateway")
    eventually(lambda: client.get("/health").status_code == 200)


def _the_replicas_are_asked_together(stack: Stack) -> None:
    """Whichever is asked knows of both how long no request has run, and of the hold that the other was told of."""

    def asked(replica: int, *arguments: str) -> tuple[int, str]:
        answer = stack.project.run("exec", "-T", "--index", str(replica), "gateway", "gateway", "idle", *arguments)
        return answer.returncode, answer.stdout

    eventually(lambda: {asked(1)[0], asked(2)[0]} == {0})  # requests of before
    for replica in (1, 2):
        assert '"gateways": 2' in asked(replica, "--json")[1]
    assert asked(1, "--for", "1d")[0] == 4
    assert asked(1, "hold", "1h")[0] == 0
    assert asked(2)[0] == 5
    assert asked(2, "release")[0] == 0
    assert asked(1)[0] == 0


def test_a_deployed_stack_is_what_the_doctor_expects_until_env_changes_which_a_restart_does_not_mend(
    stack: Stack,
) -> None:
    folder = stack.directory
    check_out(folder)
    deployed = deploy(folder)
    assert deployed.returncode == 0, deployed.stdout[-4000:] + deployed.stderr[-2000:]
    assert f"{stack.base_url}/ready" in deployed.stdout
    found = told(folder)
    assert [one for name, said in found.items() if name.startswith(("Running", "Ports")) for one in said] == []
    settings = (folder / ".env").read_text()
    (folder / ".env").write_text(f"{settings}MAX_RPS_PER_IP=7\n")
    for _ in range(2):
        (stale,) = told(folder)["Running stack/settings"]
        assert "gateway (MAX_RPS_PER_IP)" in stale["seen"]
        stack.succeed("restart", "--timeout", "5", "gateway")
    (folder / ".env").write_text(settings)
    assert "Running stack/settings" not in told(folder)


def test_a_renewed_certificate_that_nginx_has_not_read_yet_is_told_of(stack: Stack) -> None:
    folder = stack.directory
    check_out(folder)
    files = {path: path.read_bytes() for path in (folder / "certs").iterdir()}
    assert "Running stack/certificate" not in told(folder)
    development_certificate(folder / "certs", "--force")
    (shown,) = told(folder)["Running stack/certificate"]
    assert shown["mend"] == "docker compose kill -s HUP nginx"
    for path, content in files.items():
        path.write_bytes(content)


def test_prometheus_sees_all_of_it_and_alertmanager_hears_of_a_backend_that_stops(stack: Stack, tmp_path: Path) -> None:
    ports = {"PROMETHEUS_PORT": str(free_port()), "ALERTMANAGER_PORT": str(free_port())}
    watching = Project(tmp_path, MONITORING, {"GRAFANA_ADMIN_PASSWORD": GRAFANA_PASSWORD, **ports})
    _need_watchers(watching)
    try:
        started = watching.run("up", "--detach", "--no-deps", "--wait", *WATCHERS, seconds=UP_SECS)
        assert started.returncode == 0, started.stderr
        prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"
        alertmanager = f"http://127.0.0.1:{ports['ALERTMANAGER_PORT']}"
        eventually(lambda: _targets(prometheus)["gateway"] == {"up"})
        eventually(lambda: _targets(prometheus)["vllm"] == {"up"})
        eventually(lambda: _targets(prometheus)["nginx"] == {"up"})
        eventually(lambda: _down(prometheus) == WITHOUT_A_STANDIN)
        eventually(lambda: _values(prometheus, "nginx_up") == [1.0])
        eventually(lambda: set(_values(prometheus, 'gateway_tls_probe_up{address="nginx:443"}')) == {1.0})
        assert _alerts(alertmanager) == set()
        stack.project.run("stop", "--timeout", "1", "chat0")
        eventually(lambda: ("BackendDown", "chat0") in _alerts(alertmanager))
    finally:
        watching.run("down", "--timeout", "5", "--volumes", seconds=UP_SECS)


def _targets(prometheus: str) -> dict[str, set[str]]:
    """How the targets of each job are."""
    found: dict[str, set[str]] = defaultdict(set)
    for target in httpx.get(f"{prometheus}/api/v1/targets", trust_env=False).json()["data"]["activeTargets"]:
        found[target["labels"]["job"]].add(target["health"])
    return found


def _down(prometheus: str) -> set[str]:
    """The jobs whose targets are not all up; one that was not looked at yet is not."""
    return {job for job, states in _targets(prometheus).items() if states != {"up"}}


def _values(prometheus: str, query: str) -> list[float]:
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, trust_env=False)
    return [float(series["value"][1]) for series in answer.json()["data"]["result"]]


def _alerts(alertmanager: str) -> set[tuple[str, str]]:
    """What has been heard of, with its backend; TargetDown is that of the parts without a stand-in."""
    heard = httpx.get(f"{alertmanager}/api/v2/alerts", trust_env=False).json()
    labels = [alert["labels"] for alert in heard]
    return {(one["alertname"], one.get("backend", "")) for one in labels if one["alertname"] != "TargetDown"}


def _need_watchers(watching: Project) -> None:
    services = watching.config()["services"]
    for name, standin in WATCHERS.items():
        image = services[name]["image"]
        if (reason := docker.missing_image(image, standin=standin)) is not None:
            docker.skip_or_fail(f"needs {image}: {reason}")
