"""Findings as lines for people and as JSON for scripts say the same."""

import click

from gateway.cli.doctor.finding import Found, error, note, ok, warning
from gateway.cli.doctor.shown import as_json, as_lines, verdict

FOUND = [
    Found("Ports", "ports", ok("443: free for nginx")),
    Found(
        "Ports", "address", error("no such address", "Docker cannot publish there", "PUBLISH_ADDRESS=0.0.0.0 in .env")
    ),
    Found("Clock", "synchronized", warning("nothing keeps it right " * 9, "quotas", "sudo timedatectl set-ntp true")),
]


def test_people_see_what_is_so_what_it_means_and_a_command_on_one_line() -> None:
    lines = [click.unstyle(line) for line in as_lines(FOUND)]
    assert lines[:5] == [
        "Ports",
        "  ok      ports         443: free for nginx",
        "  error   address       no such address",
        "                        means: Docker cannot publish there",
        "                        mend:  PUBLISH_ADDRESS=0.0.0.0 in .env",
    ]
    assert all(len(line) <= 118 for line in lines)
    assert lines[-1] == "1 error, 1 warning: the stack will not do before the errors are mended"


def test_scripts_get_every_field_and_the_verdict() -> None:
    told = as_json(FOUND, simulated=True)
    assert (told["ok"], told["simulated"]) == (False, True)
    assert told["counts"] == {"ok": 1, "note": 0, "warning": 1, "error": 1}
    assert told["findings"][1] == {
        "subject": "Ports",
        "check": "address",
        "level": "error",
        "seen": "no such address",
        "means": "Docker cannot publish there",
        "mend": "PUBLISH_ADDRESS=0.0.0.0 in .env",
    }
    assert as_json([Found("Clock", "c", note("n"))], simulated=False)["ok"]


def test_all_is_well_where_nothing_is_to_be_mended() -> None:
    assert click.unstyle(verdict({})) == "all is well"
