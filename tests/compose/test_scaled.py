"""Three gateways with Valkey and PostgreSQL in one Compose project: one limit, and no request lost by a change.

`.env` is the one that `gateway init --with redis --with postgres` writes, with other ports.
"""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.compose import running
from tests.compose.project import BACKEND_KEY, ROOT
from tests.compose.running import STANDINS, Stack, eventually
from tests.compose.visitors import WHOLE, Visitors, visited
from tests.support import docker
from tests.support.nginx import development_certificate

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]

REPLICAS = 3
QUOTA = 20
WIDE = {"MAX_RPS_PER_IP": "10000", "RPS_BURST": "10000", "ORG_DAILY_REQUEST_LIMIT": "10000000"}
"""All visitors of this host are one address; what is looked at here is something else."""


def _written_by_init(folder: Path) -> dict[str, str]:
    file = folder / "made"
    command = [sys.executable, "-m", "gateway", "init", "--file", str(file), "--with", "redis", "--with", "postgres"]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 -- our own
    assert file.stat().st_mode & 0o077 == 0
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("scaled")
    made = _written_by_init(folder)
    # A machine on which tests run side by side may leave the server without a core for longer than 50 ms, and that is
    # an outage: hosts then grant shares.
    settings = {**made, **WIDE, "GATEWAY_REPLICAS": str(REPLICAS), "REDIS_TIMEOUT_MS": "1000"}
    with running.stack(folder, settings, tuple(STANDINS), made["GATEWAY_API_KEY"]) as up:
        assert len(up.ids("gateway")) == REPLICAS
        up.wait_until_ready()
        yield up


def served_by(stack: Stack, text: str) -> Counter[str]:
    """How many lines of each gateway's log have that text."""
    found: Counter[str] = Counter()
    for line in stack.succeed("logs", "--no-color", "gateway").splitlines():
        container, _, rest = line.partition("|")
        found[container.strip()] += text in rest
    return +found


def killed(stack: Stack, service: str) -> int:
    """Kill a service's first process as a fault would, and say how often it was restarted before.

    `docker kill` would count as an operator's stop, after which nothing is restarted.
    """
    if os.geteuid() != 0:
        docker.skip_or_fail("needs root, to kill a container's process")
    (before, *_) = stack.inspect(stack.ids(service)[0])
    os.kill(before["State"]["Pid"], signal.SIGKILL)
    count: int = before["RestartCount"]
    return count


def test_three_gateways_grant_a_quota_once(stack: Stack) -> None:
    stack.gateway("orgs", "create", "acme", "--daily-requests", str(QUOTA))
    key = stack.gateway("keys", "create", "--org", "acme")
    with stack.client(key) as client:
        # Known to all within a second; each takes its turn.
        eventually(lambda: {client.get("/v1/models").status_code for _ in range(4 * REPLICAS)} == {200})

    def ask(_: int) -> int:
        with stack.client(key) as client:
            return client.post("/v1/chat/completions", json=WHOLE).status_code

    with ThreadPoolExecutor(3 * QUOTA) as clients:
        seen = Counter(clients.map(ask, range(3 * QUOTA)))
    assert seen == {200: QUOTA, 429: 2 * QUOTA}, stack.succeed("logs", "--no-color", "gateway")
    assert len(served_by(stack, '"org:acme"')) == REPLICAS


def test_a_renewed_certificate_is_served_while_a_stream_goes_on(stack: Stack) -> None:
    old = stack.trusted
    with stack.client() as client:
        body = {**WHOLE, "max_tokens": 256, "stream": True}
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.iter_lines()
            first = [next(lines) for _ in range(4)]
            development_certificate(stack.directory / "certs", "--force")
            stack.succeed("exec", "-T", "nginx", "nginx", "-s", "reload", "-c", "/run/nginx/nginx.conf")
            eventually(lambda: stack.trusted.get_ca_certs() != old.get_ca_certs() and _is_shown(stack))
            rest = [line for line in lines if line]
    assert first[0].startswith("data: {")
    assert rest[-1] == "data: [DONE]"


def _is_shown(stack: Stack) -> bool:
    """Whether nginx shows the certificate that lies in the folder."""
    try:
        with stack.client() as client:
            return client.get("/health").status_code == 200
    except httpx.ConnectError:
        return False


@pytest.mark.parametrize("service", ["chat0", "chat1", "text2sql", "embed", "rerank", "valkey", "postgres"])
def test_what_stands_behind_the_gateway_may_be_killed(stack: Stack, service: str) -> None:
    with visited(stack, 6) as visitors:
        _go_on(visitors, 12)
        restarts = killed(stack, service)
        eventually(lambda: stack.inspect(stack.ids(service)[0])[0]["RestartCount"] > restarts)
        eventually(lambda: stack.inspect(stack.ids(service)[0])[0]["State"]["Health"]["Status"] == "healthy")
        _go_on(visitors, 12)
    # What ran at a chat server that is killed is lost, and said to be: a 502, or a stream that does not end.
    assert len(visitors.lost) <= (6 if service.startswith("chat") else 0), visitors.lost
    assert all("bad_gateway" in one or "incomplete chunked read" in one for one in visitors.lost), visitors.lost


@pytest.mark.parametrize("service", ["gateway", "nginx"])
def test_what_stands_before_it_comes_back(stack: Stack, service: str) -> None:
    with visited(stack, 6) as visitors:
        _go_on(visitors, 12)
        before = stack.ids(service)
        restarts = killed(stack, service)
        eventually(lambda: stack.inspect(before[0])[0]["RestartCount"] > restarts)
        lost = len(visitors.lost)
        eventually(lambda: stack.inspect(before[0])[0]["State"]["Health"]["Status"] == "healthy")
        _go_on(visitors, 12)
    if service == "gateway":
        # Each visitor had one request with it at the most.
        assert lost <= 6, visitors.lost


def _go_on(visitors: Visitors, count: int) -> None:
    """Wait until so many more answers were good."""
    until = visitors.total() + count
    eventually(lambda: visitors.total() >= until)


def upgrade(stack: Stack, **environment: str) -> subprocess.CompletedProcess[str]:
    """deploy/upgrade.sh with the stack's files and `.env`."""
    return stack.project.script(str(ROOT / "deploy" / "upgrade.sh"), seconds=600, **environment)


def test_an_upgrade_under_load_loses_no_request(stack: Stack) -> None:
    before = stack.ids("gateway")
    image = stack.inspect(before[0])[0]["Image"]
    stack.project.set("GATEWAY_REVISION", "the-next-one")
    with visited(stack, 8) as visitors:
        _go_on(visitors, 16)
        done = upgrade(stack)
        assert done.returncode == 0, done.stderr
        _go_on(visitors, 16)
    assert visitors.lost == []
    assert min(visitors.good["whole"], visitors.good["stream"]) > 16
    after = stack.ids("gateway")
    assert len(after) == REPLICAS
    assert not {*before} & {*after}
    assert all(container["Image"] != image for container in stack.inspect(*after))


def test_a_new_gateway_that_does_not_start_leaves_the_old_one(stack: Stack) -> None:
    before = stack.ids("gateway")
    stack.project.set("GATEWAY_WORKERS", "many")
    with visited(stack, 4) as visitors:
        _go_on(visitors, 8)
        failed = upgrade(stack, READY_SECS="20")
        _go_on(visitors, 8)
    stack.project.set("GATEWAY_WORKERS", "2")
    assert failed.returncode == 1
    assert "GATEWAY_WORKERS" in failed.stderr
    assert visitors.lost == []
    assert sorted(stack.ids("gateway")) == sorted(before)


ROOT_FOR = {
    "nginx": {"CHOWN", "SETGID", "SETUID", "DAC_OVERRIDE"},
    "valkey": {"DAC_OVERRIDE"},
    "postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
}
"""The services that begin as root, and what root may do there."""


def test_no_container_may_do_more_than_it_must(stack: Stack) -> None:
    for container in stack.inspect(*stack.containers()):
        config, host = container["Config"], container["HostConfig"]
        service = config["Labels"]["com.docker.compose.service"]
        added = {name.removeprefix("CAP_") for name in host["CapAdd"] or ()}
        assert (service, host["CapDrop"], added) == (service, ["ALL"], ROOT_FOR.get(service, set()))
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["Privileged"] is False
        assert host["ReadonlyRootfs"] is (service != "models"), service
        assert (config["User"] in {"", "root"}) is (service in ROOT_FOR), service
        assert host["NetworkMode"] != "host"
        assert not host["Devices"]
        assert {bind["HostIp"] for binds in (host["PortBindings"] or {}).values() for bind in binds} <= (
            {"127.0.0.1"} if service == "nginx" else set()
        )


def test_a_secret_is_where_it_is_needed_and_others_cannot_read_it(stack: Stack) -> None:
    for container in stack.inspect(*stack.containers()):
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        environment = "\n".join(container["Config"]["Env"])
        assert (stack.key in environment) is (service == "gateway"), service
        assert (BACKEND_KEY in environment) <= (service not in {"nginx", "valkey", "postgres"}), service
    rights = "stat -c %a /data /proc/1/environ && cat /proc/1/environ | wc -c"
    assert stack.succeed("exec", "-T", "gateway", "sh", "-c", rights).split()[:2] == ["700", "400"]
    assert stack.project.run("exec", "-T", "--user", "65534", "gateway", "cat", "/proc/1/environ").returncode != 0


def test_models_have_no_way_out_and_nobody_a_way_in(stack: Stack) -> None:
    attempt = "import socket; socket.create_connection(('192.0.2.1', 80), 2)"
    out = stack.project.run("exec", "-T", "chat0", "/opt/gateway/bin/python", "-c", attempt)
    assert re.search(r"Network is unreachable|timed out$", out.stderr.strip())
    # With a way out nobody would answer there either: what the engine made of `internal` is looked at besides.
    networks = stack.inspect(*stack.ids("chat0"))[0]["NetworkSettings"]["Networks"]
    assert [one["Internal"] for one in stack.inspect(*networks)] == [True]
    for service in ("valkey", "postgres"):
        seen = stack.project.run("exec", "-T", "nginx", "curl", "-sS", "--max-time", "2", f"http://{service}:1/")
        assert "Could not resolve host" in seen.stderr
