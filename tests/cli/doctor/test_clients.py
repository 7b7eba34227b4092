"""Under which address clients arrive: what hides them is said, and what the gateway's log shows of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.doctor.clients import SUBJECT, Facts, gather, global_ipv6
from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.host import Answer
from gateway.cli.doctor.site import Site
from gateway.cli.doctor.stack import Network, Port, Service, Stack
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, findings

ANY = "0.0.0.0"  # noqa: S104 -- what Docker calls it
BRIDGE = "10.199.0.1"
CLEAN = Facts(bindings=frozenset({ANY}), subnet="10.199.0.0/24", seen={"203.0.113.7": 40, "198.51.100.2": 2, BRIDGE: 3})
FAULTS = [
    Row("engine", replace(CLEAN, rootless=True), Level.WARNING, "runs without root", "slirp4netns"),
    Row(
        "ipv6",
        replace(CLEAN, bindings=frozenset({""})),
        Level.WARNING,
        "on IPv6 too (every address)",
        "PUBLISH_ADDRESS=",
    ),
    Row(
        "ipv6", replace(CLEAN, bindings=frozenset({"2001:db8::1"})), Level.WARNING, "(2001:db8::1)", "enable_ipv6: true"
    ),
    Row("ipv6", replace(CLEAN, reachable=True), Level.NOTE, "published on IPv4 alone"),
    Row("addresses", replace(CLEAN, seen={BRIDGE: 40}), Level.WARNING, f"Docker's own ({BRIDGE})", "another machine"),
    Row("addresses", replace(CLEAN, seen={BRIDGE: 4}), Level.NOTE, "each of the last 4 requests", "another machine"),
    Row(
        "addresses",
        replace(CLEAN, seen={"10.0.0.5": 40, BRIDGE: 2}),
        Level.NOTE,
        "came from 10.0.0.5",
        "TRUSTED_PROXIES",
    ),
]
LINE = '{{"timestamp":"2026-11-22T12:00:00.000+00:00","event":"request","client":"{}","status":200}}\n'


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


def test_a_network_that_speaks_ipv6_hands_clients_in_as_they_are() -> None:
    both = replace(CLEAN, bindings=frozenset({""}), ipv6=True)
    assert [one.level for one in findings(SUBJECT, "ipv6", both)] == [Level.OK]


def test_the_gateways_log_and_nginxs_ports_become_facts() -> None:
    labels = "com.docker.compose.service"
    ports = {"443/tcp": [{"HostIp": ANY, "HostPort": "443"}, {"HostIp": "::", "HostPort": "443"}]}
    nginx = {
        "Id": "n",
        "State": {"Running": True},
        "Config": {"Labels": {labels: "nginx"}},
        "NetworkSettings": {"Ports": ports},
    }
    gateway = {"Id": "g", "State": {"Running": True}, "Config": {"Labels": {labels: "gateway"}}}
    log = LINE.format("203.0.113.7") * 2 + LINE.format(BRIDGE) + '{"event":"listening"}\nnot JSON "event":"request"\n'
    stack = Stack(
        "inference",
        {"nginx": Service("nginx", ports=(Port("127.0.0.1", 443, 443),))},
        {"edge": Network("inference-edge", "10.199.0.0/24")},
    )
    host = RecordedHost({"docker logs --tail 2000 g": Answer(0, "", log)})
    info = {"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]}
    facts = gather(host, Site(Path(), stack=stack, info=info, containers=(nginx, gateway)))
    assert facts.seen == {"203.0.113.7": 2, BRIDGE: 1}
    assert (facts.rootless, facts.bindings, facts.subnet) == (True, frozenset({ANY, "::"}), "10.199.0.0/24")
    assert gather(RecordedHost(), Site(Path(), stack=stack)).bindings == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("line", "is_global"),
    [
        ("20010db8000000000000000000000001 02 40 00 80     eth0\n", True),
        ("fe80000000000000000000000000abcd 02 40 20 80     eth0\n", False),
        ("00000000000000000000000000000001 01 80 10 80       lo\n", False),
        ("fd00000000000000000000000000abcd 02 40 00 80     eth0\n", False),
        ("", False),
    ],
)
def test_a_global_address_is_told_from_local_ones(line: str, *, is_global: bool) -> None:
    assert global_ipv6(line) is is_global
