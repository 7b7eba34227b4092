"""The kernel's limits, as /proc tells them."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.host import ThisHost
from gateway.cli.doctor.kernel import SUBJECT, Facts, gather, open_files
from gateway.cli.doctor.site import Site
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, findings

CLEAN = Facts("6.8.0-88-generic", True, 1, 1200, 262_144, 0, (524_288, 524_288), "the Docker engine")  # noqa: FBT003 -- an engine answers
FAULTS = [
    Row("release", replace(CLEAN, release="4.14.0-amd64"), Level.ERROR, "Linux 4.14.0", "a distribution"),
    Row("forwarding", replace(CLEAN, forwards=0), Level.ERROR, "ip_forward = 0", "sysctl -w net.ipv4.ip_forward=1"),
    Row("connections", replace(CLEAN, tracked=250_000), Level.WARNING, "250000 of 262144", "nf_conntrack_max=262144"),
    Row("connections", replace(CLEAN, trackable=4096), Level.WARNING, "4096 connections can be", "nf_conntrack_max="),
    Row("files", replace(CLEAN, files=(1024, 4096)), Level.WARNING, "may open 4096 files", "LimitNOFILE"),
    Row("memory", replace(CLEAN, overcommit=2), Level.WARNING, "overcommit_memory = 2", "overcommit_memory=0"),
    Row("system", Facts(), Level.NOTE, "no Linux"),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


def test_a_host_without_docker_may_not_forward_yet() -> None:
    assert findings(SUBJECT, "forwarding", replace(CLEAN, forwards=0, engine=False)) == []


def test_this_hosts_own_limits_can_be_read() -> None:
    soft, hard = open_files(ThisHost().text("/proc/self/limits") or "") or (0, 0)
    assert 0 < soft <= hard
    assert open_files("Max open files            unlimited            unlimited            files\n") == (
        1 << 30,
        1 << 30,
    )
    facts = gather(ThisHost(), Site(Path()))
    assert facts.release
    assert facts.overcommit is not None


def test_the_running_gateways_limits_go_before_the_engines() -> None:
    limits = "Max open files            {}                 524288               files     \n"
    files = {
        "/proc/sys/kernel/osrelease": "6.8.0\n",
        "/var/run/docker.pid": "77",
        "/proc/77/limits": limits.format(524_288),
        "/proc/99/limits": limits.format(1024),
    }
    assert gather(RecordedHost(files=files), Site(Path())).files == (524_288, 524_288)
    gateway = {"State": {"Running": True, "Pid": 99}, "Config": {"Labels": {"com.docker.compose.service": "gateway"}}}
    facts = gather(RecordedHost(files=files), Site(Path(), containers=(gateway,)))
    assert (facts.files, facts.whose) == ((1024, 524_288), "the running gateway")
