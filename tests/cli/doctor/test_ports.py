"""Ports of the host: who has them is read from the kernel's tables, and told by name."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.host import ThisHost
from gateway.cli.doctor.ports import SUBJECT, Facts, clash, gather, listeners, publishers
from gateway.cli.doctor.site import Site
from gateway.cli.doctor.stack import Port, Service, Stack
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, findings

ANY = "0.0.0.0"  # noqa: S104 -- what the files say
WANTED = (("nginx", Port(ANY, 80, 80)), ("nginx", Port(ANY, 443, 443)))
CLEAN = Facts(WANTED, frozenset({("127.0.0.1", 22), ("::", 9100)}))
FAULTS = [
    Row("ports", replace(CLEAN, listeners=frozenset({("127.0.0.1", 443)})), Level.ERROR, "443 is taken", "HTTPS_PORT="),
    Row(
        "ports",
        replace(CLEAN, listeners=frozenset({("::", 80)})),
        Level.ERROR,
        "80 is taken: somebody",
        "sudo ss -ltnp",
    ),
    Row(
        "ports",
        replace(CLEAN, listeners=frozenset({(ANY, 80)}), publishers={80: "caddy"}),
        Level.ERROR,
        "the container caddy",
        "docker stop caddy",
    ),
    Row("address", replace(CLEAN, strange=frozenset({"203.0.113.9"})), Level.ERROR, "203.0.113.9", "ip -brief address"),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


def test_ports_that_our_own_containers_have_are_no_fault() -> None:
    taken = replace(CLEAN, listeners=frozenset({(ANY, 80), (ANY, 443)}), ours=frozenset({80, 443}))
    assert {one.level for one in findings(SUBJECT, "ports", taken)} == {Level.OK}


@pytest.mark.parametrize(
    ("wanted", "held", "clashes"),
    [
        (ANY, "127.0.0.1", True),
        ("127.0.0.1", ANY, True),
        ("127.0.0.1", "::", True),
        ("127.0.0.1", "10.0.0.5", False),
        ("127.0.0.1", "::1", False),
        ("localhost", "127.0.0.1", False),
        ("", "::1", True),
        ("::1", "127.0.0.1", False),
    ],
)
def test_addresses_clash_as_the_kernel_has_it(wanted: str, held: str, *, clashes: bool) -> None:
    assert clash(wanted, held) is clashes


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_kernels_own_tables_show_a_socket_that_listens(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        try:
            listener.bind((address, 0))
        except OSError:
            pytest.skip("no IPv6 here")
        listener.listen()
        port = listener.getsockname()[1]
        tables = [ThisHost().text(f"/proc/net/{name}") or "" for name in ("tcp", "tcp6")]
        assert (address, port) in {found for table in tables for found in listeners(table)}


def test_a_socket_for_ipv4_in_the_table_of_ipv6_is_one_of_ipv4() -> None:
    table = (
        "  sl  local_address\n   0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 0\n"
    )
    assert list(listeners(table)) == [("127.0.0.1", 8080)]


def test_what_docker_lists_becomes_facts() -> None:
    listing = "caddy 0.0.0.0:80->80/tcp, :::80->80/tcp\ninference-nginx 0.0.0.0:443->443/tcp\nquiet 9000/tcp\n"
    assert set(publishers(listing)) == {("caddy", 80), ("inference-nginx", 443)}
    nginx = {
        "Name": "/inference-nginx",
        "State": {"Running": True},
        "NetworkSettings": {"Ports": {"443/tcp": [{"HostIp": ANY, "HostPort": "443"}], "80/tcp": None}},
    }
    stack = Stack("inference", {"nginx": Service("nginx", ports=(Port("203.0.113.9", 443, 443),))})
    info = {"ServerVersion": "28.2.2"}
    facts = gather(RecordedHost({"docker ps": listing}), Site(Path(), stack=stack, info=info, containers=(nginx,)))
    assert facts.publishers == {80: "caddy"}
    assert (facts.ours, facts.strange) == (frozenset({443}), frozenset({"203.0.113.9"}))
