"""Tests of docs/operations.md: its words are the code's, and its rehearsal is run as it stands there."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gateway.backends.circuit import Standing, Why
from gateway.backends.health import State
from gateway.backends.reasons import Reason
from gateway.cli import COMMANDS
from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Kind
from gateway.settings import Settings, names
from gateway.simulator.faults import KINDS
from tests.observability.test_event_names import events
from tests.support.gateway import free_port

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text()
CODE = re.findall(r"`([^`\n]+)`", PAGE) + [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
REHEARSAL = PAGE.partition("\n## Rehearse it\n")[2].partition("\n**Is it still so?**")[0]
PORTS = ("8101", "8102", "8201", "8202", "9000")
PATIENCE_SECS = 220


def rows(section: str) -> list[list[str]]:
    """The cells of the section's first table, without its head."""
    table = re.search(r"(?:^\|.*\n)+", PAGE.partition(f"\n## {section}\n")[2], re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def words(cell: str) -> set[str]:
    """What stands there as code."""
    return set(re.findall(r"`(\w+)`", cell))


def test_every_state_and_reason_of_a_backend_has_a_row() -> None:
    table = rows("What state is it in?")
    assert set().union(*(words(row[0]) for row in table)) == set(State)
    assert set().union(*(words(row[1]) for row in table)) == set(Reason)


def test_every_standing_of_a_circuit_and_what_brought_it_there_is_named() -> None:
    spoken = words(PAGE.partition("\n## Is a circuit open?\n")[2].partition("\n## ")[0])
    assert {*Standing, *Why} - {Why.TRIAL_SUCCEEDED} <= spoken


def test_every_event_of_the_log_has_a_row_and_no_other_has() -> None:
    written = {event for path in (ROOT / "gateway").rglob("*.py") for event in events(path.read_text())}
    assert set().union(*(words(row[0]) for row in rows("Log events"))) == {*written, "request"}


def test_every_metric_is_one_with_these_labels() -> None:
    families = {f"{family.name}_total" if family.kind is Kind.COUNTER else family.name: family for family in CATALOGUE}
    spoken = [match for code in CODE for match in re.findall(r"\b(gateway_[a-z_]+)(?:\{(.*?)\})?", code)]
    assert len(spoken) > 10
    for name, labels in spoken:
        assert set(re.findall(r"(\w+)=", labels)) <= set(families[name].labels), name


def test_every_setting_that_is_spoken_of_is_one() -> None:
    spoken = set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", PAGE)) - {"SOAK_SECS", "FUZZ_SECS", "VLLM_API_KEY"}
    assert len(spoken) > 10
    assert spoken <= set(names())
    assert f"`METRICS_PORT={Settings.model_fields['metrics_port'].default}`" in PAGE


def test_every_command_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {target for code in CODE for target in re.findall(r"^make ([a-z-]+)", code)}
    assert targets == {"chaos", "deploy", "soak", "fuzz"}
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
    assert {command for code in CODE for command in re.findall(r"^gateway ([a-z]+)", code)} <= set(COMMANDS)


def test_what_is_linked_is_there() -> None:
    titles = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= headings
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)#][^)]*)\)", PAGE)}
    assert [target for target in linked if not (ROOT / "docs" / target).exists()] == []


def test_every_fault_and_every_parameter_of_it_is_listed() -> None:
    table = re.findall(r"^\| `(\w+)` \| (.*?) \|", REHEARSAL, re.MULTILINE)
    assert {name: words(parameters) for name, parameters in table} == {
        name: set(kind.parameters) for name, kind in KINDS.items()
    }


@pytest.mark.parametrize("path", ["stop-engine", "resume-engine", "kill-engine", "faults", "pace", "state", "ledger"])
def test_every_path_of_the_control_port_is_listed(path: str) -> None:
    assert f"/{path}`" in REHEARSAL
    assert f'"/{path}"' in (ROOT / "gateway" / "simulator" / "control.py").read_text()


@pytest.mark.timeout(PATIENCE_SECS + 20)
def test_the_rehearsal_shows_what_it_says() -> None:
    """The page's own commands, in one shell, with ports that are free."""
    script = "set -u; trap 'kill $(jobs -p) 2> /dev/null' EXIT\n"
    for number, block in enumerate(re.findall(r"```sh\n(.*?)```", REHEARSAL, re.DOTALL)):
        script += f"echo '== {number}'\n{block}"
    for port in PORTS:
        script = re.sub(rf"\b{port}\b", str(free_port()), script)
    known = {"GATEWAY_CONFIG", *names()}
    environment = {name: value for name, value in os.environ.items() if name not in known}  # noqa: TID251 -- handed on
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:  # short: the names of unix sockets stand behind it
        result = subprocess.run(  # noqa: S603 -- our own page
            ["bash", "-c", script],  # noqa: S607 -- wherever it is
            cwd=folder,
            env={**environment, "PATH": path, "TMPDIR": folder, "METRICS_PORT": "0"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECS,
            check=False,
        )
    _, start, hang, fault, death, stop = re.split(r"== \d\n", result.stdout)
    assert "chat0 healthy ok closed 0" in start, result.stderr
    assert "chat0 down stalled" in hang
    assert hang.count("200\n") == 4
    assert "500\n" in fault
    assert '"after":"open"' in fault
    assert '"after":"closed"' in fault
    assert death.count("200\n") == 3
    assert "reloaded: 2 new workers serve" in death
    assert "200\n" in stop
    assert "status 0\n" in stop
    assert '"event":"stopped"' in stop
