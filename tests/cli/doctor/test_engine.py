"""Docker, Compose and the names and addresses that the stack takes on a host."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from gateway.cli.doctor.engine import SUBJECT, Facts, gather, overlap, routes
from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.host import Answer
from gateway.cli.doctor.site import Site
from gateway.cli.doctor.stack import Network, Service, Stack
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, fault

STACK = Stack(
    "inference",
    {"nginx": Service("nginx", container="inference-nginx")},
    {"edge": Network("inference-edge", "10.199.0.0/24")},
)
INFO = {"ServerVersion": "28.2.2", "OperatingSystem": "Ubuntu 24.04.3 LTS"}
SITE = Site(Path(), config=Answer(0), stack=STACK, engine=Answer(0), info=INFO)
CLEAN = Facts(
    SITE,
    Answer(0, "2.40.3\n"),
    "enabled",
    {"inference-nginx": "inference"},
    {"inference-edge": ("10.199.0.0/24",), "bridge": ("172.17.0.0/16",)},
    (("10.199.0.0/24", "br-1"), ("172.17.0.0/16", "docker0"), ("192.168.1.0/24", "eth0")),
)
DENIED = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
AWAY = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
UNSET = "required variable BACKEND_API_KEY is missing a value: is not set; gateway init writes a .env with strong keys"

READ = (
    ('failed to read /x/.env: line 6: unterminated quoted value "sk-half', 'line 6: unterminated quoted value "..."'),
    (
        'failed to read .env: line 6: unexpected character "/" in variable name "sk-/half"',
        'unexpected character "..."',
    ),
)
"""Of Compose 2.40, with what stands on a line that it cannot read: a key, as a rule."""


def without(answer: Answer, *server_errors: str) -> Facts:
    """A host whose engine says this; the client writes its JSON all the same."""
    return replace(CLEAN, site=replace(SITE, engine=answer, info={"ServerErrors": list(server_errors)}))


FAULTS = [
    Row(
        "engine",
        without(Answer(None, err="there is no docker here")),
        Level.ERROR,
        "there is no docker",
        "docs.docker.com",
    ),
    Row("engine", without(Answer(1), DENIED), Level.ERROR, "you may not speak", "usermod -aG docker"),
    Row("engine", without(Answer(1), AWAY), Level.ERROR, "Is the docker daemon running?", "systemctl enable --now"),
    Row(
        "compose",
        replace(CLEAN, compose=Answer(1, err="'compose' is not a docker command")),
        Level.ERROR,
        "no Compose v2",
        "docker-compose-plugin",
    ),
    Row(
        "files",
        replace(CLEAN, site=replace(SITE, config=Answer(1, err=UNSET))),
        Level.ERROR,
        "BACKEND_API_KEY",
        "config",
    ),
    *(
        Row("files", replace(CLEAN, site=replace(SITE, config=Answer(1, err=words))), Level.ERROR, seen, "config")
        for words, seen in READ
    ),
    Row(
        "names", replace(CLEAN, names={"inference-nginx": "other"}), Level.ERROR, "a container of other", "docker rm -f"
    ),
    Row("names", replace(CLEAN, names={"inference-nginx": ""}), Level.ERROR, "no Compose project", "inference-nginx"),
    Row(
        "subnets",
        replace(CLEAN, subnets={"shop_default": ("10.199.0.0/16",)}),
        Level.ERROR,
        "shop_default",
        "EDGE_SUBNET",
    ),
    Row("subnets", replace(CLEAN, routes=(("10.0.0.0/8", "tun0"),)), Level.ERROR, "the interface tun0", "EDGE_SUBNET"),
    Row("boot", replace(CLEAN, enabled="disabled"), Level.WARNING, "not started at boot", "systemctl enable docker"),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)
    assert "sk-" not in f"{fault(SUBJECT, row.check, row.facts)}"


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


def test_what_docker_lists_becomes_facts() -> None:
    networks = [
        {"Name": "inference-edge", "IPAM": {"Config": [{"Subnet": "10.199.0.0/24"}]}},
        {"Name": "host", "IPAM": {"Config": None}},
    ]
    host = RecordedHost(
        {
            "docker compose version --short": "2.40.3-3\n",
            "systemctl is-enabled docker": Answer(1, "disabled\n"),
            "docker ps --all --format": "inference-nginx inference\nlonely \n",
            "docker network ls": "5af25628b478\n4254d77839b7\n",
            "docker network inspect": orjson.dumps(networks).decode(),
        }
    )
    facts = gather(host, SITE)
    assert (facts.compose.out, facts.enabled) == ("2.40.3-3\n", "disabled")
    assert facts.names == {"inference-nginx": "inference", "lonely": ""}
    assert facts.subnets == {"inference-edge": ("10.199.0.0/24",), "host": ()}


def test_the_kernels_routes_are_read_as_networks() -> None:
    table = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
    )
    assert routes(table) == (("192.168.1.0/24", "eth0"),)


def test_networks_of_two_kinds_have_no_address_in_common() -> None:
    assert overlap("10.199.0.0/24", "10.0.0.0/8")
    assert not overlap("10.199.0.0/24", "fd00::/8")
    assert overlap("fd00:1::/64", "fd00::/8")
    assert not overlap("10.199.0.0/24", "")
