"""Does the stack come up, answer and get watched? All of it without GPUs, through TLS, as an operator starts it."""

import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compose.project import BACKEND_KEY, GATEWAY_KEY, GRAFANA_PASSWORD, KEYS, MONITORING, SIMULATED, Project
from tests.support import docker
from tests.support.nginx import IMAGE, development_certificate

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]

PYTHON = "python:3.13-slim"
BUILD_SECS = 600.0
UP_SECS = 240.0
NOTICED_SECS = 240.0
"""Two scrapes, a probe that fails, a minute for which it lasts, and Alertmanager's turn."""
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


class Stack:
    """The running project."""

    def __init__(self, project: Project, client: httpx.Client) -> None:
        self.project = project
        self.client = client

    def containers(self) -> dict[str, str]:
        """Name and state of every container of the project, ended ones included."""
        answer = self.project.run("ps", "--all", "--format", "{{.Name}} {{.State}}/{{.Health}}{{.ExitCode}}")
        return dict(line.rsplit(" ", 1) for line in answer.stdout.splitlines())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack without GPUs on free ports, built from this checkout; gone afterwards."""
    _need_engine()
    directory = tmp_path_factory.mktemp("stack")
    certificates = directory / "certs"
    development_certificate(certificates)
    http_port, https_port = _free_port(), _free_port()
    settings = {
        "CERTS_DIR": str(certificates),
        "PUBLISH_ADDRESS": "127.0.0.1",
        "HTTP_PORT": str(http_port),
        "HTTPS_PORT": str(https_port),
        "NGINX_TMPFS_SIZE": "64m",
        "EDGE_SUBNET": "10.198.77.0/24",
        "GATEWAY_WORKERS": "2",
    }
    project = Project(directory, SIMULATED, {**KEYS, **settings})
    try:
        _succeed(project, "build", "gateway", seconds=BUILD_SECS)
        _succeed(project, "up", "--detach", "--no-build", "--wait", *_services(project), seconds=UP_SECS)
        trusted = ssl.create_default_context(cafile=str(certificates / "fullchain.pem"))
        headers = {"Authorization": f"Bearer {GATEWAY_KEY}"}
        base_url = f"https://localhost:{https_port}"
        with httpx.Client(base_url=base_url, verify=trusted, headers=headers, timeout=60) as client:
            yield Stack(project, client)
    finally:
        project.run("down", "--timeout", "5", "--volumes", seconds=UP_SECS)


def test_the_whole_stack_is_up_and_answers_through_tls(stack: Stack) -> None:
    states = stack.containers()
    assert states.pop("inference-models") == "exited/0"
    assert set(states.values()) == {"running/healthy0"}
    _every_service_is_there(stack, states)
    _every_endpoint_answers(stack)
    _a_stream_ends_with_its_mark(stack)
    _the_operators_paths_are_hidden(stack)
    _no_key_is_on_a_command_line(stack)
    _a_scaled_gateway_is_followed(stack)


def test_prometheus_sees_all_of_it_and_alertmanager_hears_of_a_backend_that_stops(stack: Stack, tmp_path: Path) -> None:
    ports = {"PROMETHEUS_PORT": str(_free_port()), "ALERTMANAGER_PORT": str(_free_port())}
    watching = Project(tmp_path, MONITORING, {"GRAFANA_ADMIN_PASSWORD": GRAFANA_PASSWORD, **ports})
    _need_watchers(watching)
    try:
        _succeed(watching, "up", "--detach", "--no-deps", "--wait", *WATCHERS)
        prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"
        alertmanager = f"http://127.0.0.1:{ports['ALERTMANAGER_PORT']}"
        _eventually(lambda: _targets(prometheus)["gateway"] == {"up"})
        _eventually(lambda: _targets(prometheus)["vllm"] == {"up"})
        _eventually(lambda: _targets(prometheus)["nginx"] == {"up"})
        down = {job for job, states in _targets(prometheus).items() if states != {"up"}}
        assert down == WITHOUT_A_STANDIN
        _eventually(lambda: _values(prometheus, "nginx_up") == [1.0])
        _eventually(lambda: set(_values(prometheus, 'gateway_tls_probe_up{address="nginx:443"}')) == {1.0})
        assert _alerts(alertmanager) == set()
        stack.project.run("stop", "--timeout", "1", "chat0")
        _eventually(lambda: ("BackendDown", "chat0") in _alerts(alertmanager))
    finally:
        watching.run("down", "--timeout", "5", "--volumes", seconds=UP_SECS)


def _targets(prometheus: str) -> dict[str, set[str]]:
    """How the targets of each job are."""
    found: dict[str, set[str]] = defaultdict(set)
    for target in httpx.get(f"{prometheus}/api/v1/targets", trust_env=False).json()["data"]["activeTargets"]:
        found[target["labels"]["job"]].add(target["health"])
    return found


def _values(prometheus: str, query: str) -> list[float]:
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, trust_env=False)
    return [float(series["value"][1]) for series in answer.json()["data"]["result"]]


def _alerts(alertmanager: str) -> set[tuple[str, str]]:
    """What has been heard of, with its backend; TargetDown is that of the parts without a stand-in."""
    heard = httpx.get(f"{alertmanager}/api/v2/alerts", trust_env=False).json()
    labels = [alert["labels"] for alert in heard]
    return {(one["alertname"], one.get("backend", "")) for one in labels if one["alertname"] != "TargetDown"}


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + NOTICED_SECS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(1)


def _need_watchers(watching: Project) -> None:
    services = watching.config()["services"]
    for name, standin in WATCHERS.items():
        image = services[name]["image"]
        if (reason := docker.missing_image(image, standin=standin)) is not None:
            docker.skip_or_fail(f"needs {image}: {reason}")


def _every_service_is_there(stack: Stack, states: dict[str, str]) -> None:
    assert set(states) >= {"inference-nginx", "vllm-chat0", "vllm-chat1", "vllm-text2sql", "vllm-embed", "vllm-rerank"}
    # Models may have been asked before they were ready: the gateway says when it has seen them.
    deadline = time.monotonic() + 60
    while stack.client.get("/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _every_endpoint_answers(stack: Stack) -> None:
    for path, body in RELAYED.items():
        answer = stack.client.post(path, json=body)
        assert answer.status_code == 200, f"{path}: {answer.text}"
    assert stack.client.get("/v1/models").status_code == 200
    assert stack.client.get("/v1/models", headers={"Authorization": "Bearer wrong"}).status_code == 401
    # The very same answer, whoever gives it.
    unknown, hidden = stack.client.get("/v1/unknown"), stack.client.get("/admin/keys")
    assert (unknown.status_code, hidden.status_code) == (404, 404)
    assert unknown.json() == hidden.json()


def _a_stream_ends_with_its_mark(stack: Stack) -> None:
    body = {**RELAYED["/v1/chat/completions"], "stream": True}
    with stack.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert len(lines) > 2
    assert lines[-1] == "data: [DONE]"


def _the_operators_paths_are_hidden(stack: Stack) -> None:
    assert stack.client.get("/metrics").status_code == 404
    seen = stack.project.run("exec", "-T", "nginx", "curl", "-ksS", "https://127.0.0.1/metrics")
    assert "# TYPE" in seen.stdout, seen.stderr


def _no_key_is_on_a_command_line(stack: Stack) -> None:
    for name in stack.containers():
        inspected = docker.run(
            "docker", "inspect", "--format", "{{json .Path}} {{json .Args}} {{json .Config.Cmd}}", name
        )
        assert GATEWAY_KEY not in inspected.stdout
        assert BACKEND_KEY not in inspected.stdout


def _a_scaled_gateway_is_followed(stack: Stack) -> None:
    _succeed(
        stack.project, "up", "--detach", "--no-build", "--no-recreate", "--wait", "--scale", "gateway=2", "gateway"
    )
    _the_replicas_are_asked_together(stack)
    stack.project.run("stop", "--timeout", "5", "gateway", seconds=60)
    seen = stack.client.get("/health")
    # 504 while nginx still tries an address that nobody has any more: at most 2 s after the stop, 2 s for each attempt.
    assert (seen.status_code, seen.json()["error"]["code"]) in {(502, "bad_gateway"), (504, "gateway_timeout")}
    # Both come back, at whatever addresses: nginx asks the DNS again every 2 s. A request may wait for the workers.
    stack.project.run("start", "gateway", seconds=60)
    deadline = time.monotonic() + 60
    while stack.client.get("/health").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _the_replicas_are_asked_together(stack: Stack) -> None:
    """Whichever is asked knows of both how long no request has run, and of the hold that the other was told of."""

    def asked(replica: int, *arguments: str) -> tuple[int, str]:
        answer = stack.project.run("exec", "-T", "--index", str(replica), "gateway", "gateway", "idle", *arguments)
        return answer.returncode, answer.stdout

    deadline = time.monotonic() + 60
    while {asked(1)[0], asked(2)[0]} != {0}:  # requests of before
        assert time.monotonic() < deadline
        time.sleep(0.5)
    for replica in (1, 2):
        assert '"gateways": 2' in asked(replica, "--json")[1]
    assert asked(1, "--for", "1d")[0] == 4
    assert asked(1, "hold", "1h")[0] == 0
    assert asked(2)[0] == 5
    assert asked(2, "release")[0] == 0
    assert asked(1)[0] == 0


def _services(project: Project) -> list[str]:
    """All services but the one-shot one: `--wait` takes an end, even a good one, for a failure."""
    return sorted(set(project.config()["services"]) - {"models"})


def _succeed(project: Project, *arguments: str, seconds: float = UP_SECS) -> None:
    answer = project.run(*arguments, seconds=seconds)
    if answer.returncode != 0:
        logs = project.run("logs", "--no-color", "--tail", "30").stdout
        raise AssertionError(f"docker compose {' '.join(arguments)}: {answer.stderr[-2000:]}\n{logs[-6000:]}")


def _need_engine() -> None:
    reason = docker.missing_engine()
    for image, standin in ((PYTHON, "python"), (IMAGE, "nginx")):
        reason = reason or docker.missing_image(image, standin=standin)
    if reason is not None:
        docker.skip_or_fail(f"needs a Docker engine with {PYTHON} and {IMAGE}: {reason}")
    running = docker.run("docker", "ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=inference")
    if running.stdout.strip():
        pytest.skip("a stack is running here; its containers' names are taken")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
