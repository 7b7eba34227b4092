"""A stack that runs: what has changed since its start, what is not well."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.host import Answer
from gateway.cli.doctor.running import SUBJECT, Facts, changed, gather
from gateway.cli.doctor.site import Site
from gateway.cli.doctor.stack import Service, Stack
from tests.cli.doctor.pki import Issued
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, findings

VLLM = ("vllm", "serve")
STACK = Stack(
    "inference",
    {
        "gateway": Service("gateway", "gw:local", environment={"GATEWAY_WORKERS": "4", "REDIS_URL": None}),
        "chat0": Service("chat0", "vllm:1", entrypoint=VLLM, command=("qwen", "--max-num-seqs", "64")),
    },
)


def container(service: str, *environment: str, **how: Any) -> Mapping[str, Any]:
    """As `docker inspect` shows it; `how` replaces parts of its state."""
    chat = ["qwen", "--max-num-seqs", "64"] if service == "chat0" else None
    return {
        "Id": f"id-of-{service}",
        "Image": "sha256:1",
        "State": {"Running": True, "Health": {"Status": "healthy"}, **how},
        "NetworkSettings": {"Ports": {"443/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8443"}]}},  # noqa: S104 -- what Docker says
        "Config": {
            "Image": "gw:local" if service == "gateway" else "vllm:1",
            "Env": [*environment, "PATH=/usr/bin"],
            "Entrypoint": ["vllm", "serve"] if chat else None,
            "Cmd": chat,
            "Labels": {"com.docker.compose.service": service},
        },
    }


GATEWAY, CHAT = container("gateway", "GATEWAY_WORKERS=4"), container("chat0")
OTHER_ARGUMENTS = {**CHAT, "Config": {**CHAT["Config"], "Cmd": ["qwen", "--max-num-seqs", "32"]}}
INFO = {"ServerVersion": "28.2.2"}
SITE = Site(Path(), config=Answer(0), stack=STACK, info=INFO, containers=(GATEWAY, CHAT))
CLEAN = Facts(SITE, {"gw:local": "sha256:1"}, b"der", b"der")


def with_containers(*containers: Mapping[str, Any]) -> Facts:
    return replace(CLEAN, site=replace(SITE, containers=containers))


FAULTS = [
    Row("state", replace(CLEAN, site=replace(SITE, info={}, containers=())), Level.NOTE, "no Docker engine"),
    Row("state", with_containers(), Level.NOTE, "nothing of this stack runs", "make deploy"),
    Row(
        "health",
        with_containers(GATEWAY, container("chat0", Restarting=True)),
        Level.WARNING,
        "chat0 restarts again and again",
        "docker compose logs --tail 50 chat0",
    ),
    Row(
        "health",
        with_containers(GATEWAY, container("chat0", Health={"Status": "unhealthy"})),
        Level.WARNING,
        "chat0 is unhealthy",
        "logs",
    ),
    Row(
        "health",
        with_containers(GATEWAY, container("chat0", Running=False, ExitCode=137)),
        Level.WARNING,
        "chat0 ended with 137",
        "logs",
    ),
    Row(
        "settings",
        with_containers(container("gateway", "GATEWAY_WORKERS=2"), CHAT),
        Level.WARNING,
        "are in force: gateway (GATEWAY_WORKERS)",
        "docker compose up -d gateway",
    ),
    Row("arguments", with_containers(GATEWAY, OTHER_ARGUMENTS), Level.WARNING, "chat0 runs with other", "up -d chat0"),
    Row("images", replace(CLEAN, images={"gw:local": "sha256:2"}), Level.WARNING, "an older gw:local", "up -d gateway"),
    Row("replicas", with_containers(GATEWAY, GATEWAY), Level.WARNING, "2 gateways run without", "REDIS_URL in .env"),
    Row("certificate", replace(CLEAN, served=b"old"), Level.WARNING, "shows another certificate", "kill -s HUP nginx"),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


def test_a_setting_that_is_no_longer_stated_is_a_change_and_what_an_image_brings_is_none() -> None:
    one = container("gateway", "GATEWAY_WORKERS=4", "MAX_RPS_PER_IP=10", "REDIS_URL=redis://h")
    assert changed(one, STACK.services["gateway"].environment) == ["MAX_RPS_PER_IP", "REDIS_URL"]


def test_a_restart_is_said_not_to_be_enough() -> None:
    stale = with_containers(container("gateway", "GATEWAY_WORKERS=2"), CHAT)
    (said,) = findings(SUBJECT, "settings", stale)
    assert "`docker compose restart`" in said.means


def test_gateways_that_share_a_store_are_many_and_one() -> None:
    sharing = container("gateway", "GATEWAY_WORKERS=4", "REDIS_URL=redis://h")
    assert findings(SUBJECT, "replicas", with_containers(sharing, sharing)) == []
    empty = container("gateway", "GATEWAY_WORKERS=4", "REDIS_URL=")
    assert len(findings(SUBJECT, "replicas", with_containers(empty, empty))) == 1


def test_what_is_served_is_set_beside_what_lies_there(tmp_path: Path) -> None:
    own = Issued.root("localhost")
    der = own.certificate.public_bytes(Encoding.DER)
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "fullchain.pem").write_bytes(b"development certificate\n" + own.pem)
    site = replace(SITE, folder=tmp_path, containers=(container("nginx"),))
    host = RecordedHost({"docker image inspect": "sha256:7\n"}, served=der)
    assert gather(host, site) == Facts(site, {"vllm:1": "sha256:7"}, der, der)
    assert gather(host, replace(site, folder=tmp_path / "elsewhere", containers=())).served is None
