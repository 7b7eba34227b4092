"""The clock: whoever keeps it right, the kernel, systemd or chrony, is believed."""

from pathlib import Path

import pytest

from gateway.cli.doctor.clock import SUBJECT, Facts, chrony_offset, gather
from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.host import KernelClock, ThisHost, told_by_kernel
from gateway.cli.doctor.site import Site
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, findings

KEPT = KernelClock(synchronized=True, error_secs=0.02)
FREE = KernelClock(synchronized=False, error_secs=16.0)
CLEAN = Facts(KEPT, {"NTPSynchronized": "yes"}, 0.0004)
TRACKING = "C0A80101,192.168.1.1,3,1795348800.123,{},-0.000012,0.000031,-12.1,0.002,0.04,0.02,0.001,64.2,Normal\n"
FAULTS = [
    Row(
        "synchronized", Facts(FREE, {"NTPSynchronized": "no"}), Level.WARNING, "nothing keeps the clock", "set-ntp true"
    ),
    Row("synchronized", Facts(), Level.WARNING, "nothing keeps the clock", "chrony"),
    Row("synchronized", Facts(KEPT, offset_secs=-3.2), Level.WARNING, "3.2 s off", "chronyc makestep"),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


@pytest.mark.parametrize("facts", [Facts(KEPT), Facts(FREE, {"NTPSynchronized": "yes"}), Facts(FREE, offset_secs=0.1)])
def test_one_who_keeps_it_is_enough(facts: Facts) -> None:
    assert [one.level for one in findings(SUBJECT, "synchronized", facts)] == [Level.OK]


@pytest.mark.parametrize(
    ("tracking", "offset"),
    [
        (TRACKING.format("-1.250000000"), -1.25),
        ("00000000,,0,0.000,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised\n", None),
        ("", None),
    ],
)
def test_chronys_offset_counts_where_it_follows_a_server(tracking: str, offset: float | None) -> None:
    assert chrony_offset(tracking) == offset


def test_what_programs_and_kernel_say_becomes_facts() -> None:
    said = {"timedatectl show": "Timezone=Etc/UTC\nNTP=yes\nNTPSynchronized=yes\n", "chronyc": TRACKING.format("0.001")}
    facts = gather(RecordedHost(said, kernel=KEPT), Site(Path()))
    assert (facts.kernel, facts.timedatectl["NTPSynchronized"], facts.offset_secs) == (KEPT, "yes", 0.001)


@pytest.mark.parametrize(
    ("state", "status", "kept"), [(0, 0x2001, True), (5, 0x2001, False), (0, 0x2041, False), (1, 0x2011, True)]
)
def test_the_kernels_state_and_its_bit_both_count(state: int, status: int, *, kept: bool) -> None:
    assert told_by_kernel(state, status, 16_000_000) == KernelClock(synchronized=kept, error_secs=16.0)


def test_this_kernel_tells_of_its_clock() -> None:
    told = ThisHost().clock()
    assert told is not None
    assert told.error_secs >= 0
