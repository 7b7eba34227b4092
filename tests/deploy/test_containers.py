"""Does a pod's container run as its manifest has it? In Docker: user, read-only root, volumes, environment.

What Kubernetes adds is left out: the network's policies, the Secret's and ConfigMap's ways in. PostgreSQL's stand-in
needs root, so that the gateway has its SQLite file here.
"""

import shlex
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.deploy.cluster import Cluster, size
from tests.deploy.kustomize import ROOT, SECRETS
from tests.deploy.test_gateway_pod import environment
from tests.support import docker
from tests.support.gateway import wait_until

pytestmark = pytest.mark.timeout(900)

IMAGE = "inference-gateway:of-the-deploy-tests"
VALKEY = "valkey/valkey:9.1-alpine"
PYTHON = "python:3.13-slim"
BUILD_SECS = 600.0
NETWORK = "deploy-tests"
KEY = {"authorization": f"Bearer {SECRETS['GATEWAY_API_KEY']}"}


class Host:
    """A Docker engine with a network of its own, on which pods are containers."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def start(self, cluster: Cluster, pod: str, name: str, image: str, env: dict[str, str]) -> None:
        """Run a pod's one container under that name."""
        spec, container = cluster.pods()[pod]["spec"], cluster.container(pod)
        context = spec["securityContext"]
        words = [
            "docker",
            "run",
            "--detach",
            "--name",
            f"{NETWORK}-{name}",
            "--network",
            NETWORK,
            "--network-alias",
            name,
        ]
        words += ["--user", f"{context['runAsUser']}:{context['runAsGroup']}", "--publish", "127.0.0.1::9000"]
        words += ["--read-only", "--security-opt", "no-new-privileges"]
        words += [f"--cap-drop={capability}" for capability in container["securityContext"]["capabilities"]["drop"]]
        words += [word for one in _mounts(spec, container) for word in ("--tmpfs", one)]
        words += [word for entry in env.items() for word in ("--env", "=".join(entry))]
        command = [*container.get("command", []), *container.get("args", [])]
        words += ["--entrypoint", command[0], image, *command[1:]] if command else [image]
        self.names.append(name)
        _succeed(*words)

    def inside(self, name: str, *command: str) -> Any:
        """Run a command in a container; a failure is the caller's to read."""
        return docker.run("docker", "exec", f"{NETWORK}-{name}", *command)

    def logs(self, name: str) -> str:
        """What a container has said."""
        answer = docker.run("docker", "logs", f"{NETWORK}-{name}")
        return answer.stdout + answer.stderr

    def stop(self) -> None:
        """Leave nothing."""
        for name in self.names:
            docker.run("docker", "rm", "--force", "--volumes", f"{NETWORK}-{name}")
        docker.run("docker", "network", "rm", NETWORK)
        docker.run("docker", "image", "rm", IMAGE)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    reason = docker.missing_engine()
    for image, standin in ((VALKEY, "valkey"), (PYTHON, "python")):
        reason = reason or docker.missing_image(image, standin=standin)
    if reason is not None:
        docker.skip_or_fail(f"needs a Docker engine with {VALKEY} and {PYTHON}: {reason}")
    host = Host()
    try:
        _succeed("docker", "network", "create", NETWORK)
        yield host
    finally:
        host.stop()


@pytest.fixture(scope="module")
def valkey(host: Host, sim: Cluster) -> str:
    """A running server, its container's name."""
    assert sim.container("valkey")["image"] == VALKEY
    host.start(sim, "valkey", "valkey", VALKEY, {"VALKEY_PASSWORD": SECRETS["VALKEY_PASSWORD"]})
    wait_until(lambda: "PONG" in _valkey(host, "ping"), what=host.logs("valkey"))
    return "valkey"


def test_valkey_asks_for_its_password_and_shows_it_on_no_command_line(host: Host, valkey: str) -> None:
    assert "NOAUTH" in host.inside(valkey, "valkey-cli", "ping").stdout
    assert "canary" not in host.inside(valkey, "cat", "/proc/1/cmdline").stdout
    assert "valkey-server" in host.inside(valkey, "cat", "/proc/1/cmdline").stdout  # it is who gets SIGTERM


def test_valkey_refuses_rather_than_forgets_and_writes_no_disk(host: Host, valkey: str, sim: Cluster) -> None:
    assert valkey
    said = {
        name: _valkey(host, "config", "get", name).split()[1:] for name in ("maxmemory-policy", "save", "appendonly")
    }
    assert said == {"maxmemory-policy": ["noeviction"], "save": [], "appendonly": ["no"]}
    memory = int(_valkey(host, "config", "get", "maxmemory").split()[1])
    assert 0 < memory < size(sim.container("valkey")["resources"]["limits"]["memory"])


def test_the_pods_of_sim_answer_as_their_manifests_have_them(host: Host, valkey: str, sim: Cluster) -> None:
    assert valkey
    _succeed("docker", "build", "--quiet", "--tag", IMAGE, str(ROOT), seconds=BUILD_SECS)
    key = {"VLLM_API_KEY": SECRETS["BACKEND_API_KEY"]}
    for pod, names in {"chat": ["chat-0.chat", "chat-1.chat"], "embed": ["embed"]}.items():
        for name in names:
            host.start(sim, pod, name, IMAGE, key)
    settings = {name: value for name, value in environment(sim).items() if name != "DATABASE_URL"}
    host.start(sim, "gateway", "gateway", IMAGE, settings)
    port = _succeed("docker", "port", f"{NETWORK}-gateway", "9000/tcp").rpartition(":")[2].strip()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False, headers=KEY) as client:
        probe = sim.container("gateway")["readinessProbe"]["httpGet"]["path"]
        wait_until(lambda: _is_well(client, probe), seconds=90, what=host.logs("gateway"))
        asked = {"model": "qwen", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
        assert client.post("/v1/chat/completions", json=asked).status_code == 200
        assert client.post("/v1/embeddings", json={"input": "a text"}).status_code == 200
        assert client.get("/health/detailed").json()["limits_shared"] is True
    assert "canary" not in host.logs("gateway")
    assert _valkey(host, "dbsize").strip() not in {"", "0"}
    stopped = docker.run("docker", "stop", "--time", "60", f"{NETWORK}-gateway", seconds=90)
    assert stopped.returncode == 0
    ended = _succeed("docker", "inspect", "--format", "{{.State.ExitCode}}", f"{NETWORK}-gateway").strip()
    assert (ended, '"stopped"' in host.logs("gateway")) == ("0", True)


def _is_well(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def _valkey(host: Host, *command: str) -> str:
    words = shlex.join(["valkey-cli", *command])
    return str(host.inside("valkey", "sh", "-c", f'REDISCLI_AUTH="$VALKEY_PASSWORD" {words}').stdout)


def _mounts(spec: dict[str, Any], container: dict[str, Any]) -> list[str]:
    """The emptyDirs, as tmpfs: each as large as it may be, and open to all as a kubelet makes them."""
    volumes = {volume["name"]: volume["emptyDir"] for volume in spec["volumes"]}
    return [
        f"{mount['mountPath']}:mode=1777,size={volumes[mount['name']]['sizeLimit'].removesuffix('i').lower()}"
        for mount in container["volumeMounts"]
    ]


def _succeed(*command: str, seconds: float = 120.0) -> str:
    answer = docker.run(*command, seconds=seconds)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout
