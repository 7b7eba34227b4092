"""The ladder of time-outs is the one that `gateway check` compares, shown as findings."""

import shutil
from pathlib import Path

import pytest

from gateway.cli.check.neighbours import Disagreement
from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.site import Site
from gateway.cli.doctor.time_outs import SUBJECT, Facts, gather
from gateway.settings import names
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, fault

ROOT = Path(__file__).parents[3]
CLEAN = Facts("They were compared with those of nginx/nginx.conf.")
SHORT = Disagreement("docker-compose.yml", "gateway is killed 10 s after SIGTERM", "", "stop_grace_period: 170s")
FAULTS = [
    Row(
        "ladder", Facts("", disagreements=(SHORT,)), Level.WARNING, "docker-compose.yml: gateway is", "write stop_grace"
    ),
    Row("ladder", Facts("", ("docker-compose.yml, line 1: not YAML",)), Level.ERROR, "not YAML", "mend the file"),
    Row("ladder", Facts("", whole=False), Level.NOTE, "not compared"),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


def test_the_files_of_the_folder_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*names(), "GATEWAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert not gather(RecordedHost(), Site(tmp_path)).whole
    shutil.copytree(ROOT / "nginx", tmp_path / "nginx")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    needed = "GATEWAY_API_KEY=sk-of-a-client-0123456789\nBACKEND_API_KEY=of-the-backends-0123456789\n"
    (tmp_path / ".env").write_text(f"{needed}CHAT_BACKENDS=http://chat0:8000\n")
    facts = gather(RecordedHost(), Site(tmp_path))
    assert (facts.disagreements, "docker-compose.yml" in facts.compared) == ((), True)
    (tmp_path / ".env").write_text(f"{needed}CHAT_BACKENDS=http://chat0:8000\nDRAIN_SECS=150\n")
    said = fault(SUBJECT, "ladder", gather(RecordedHost(), Site(tmp_path)))
    assert "gateway is killed 150 s after SIGTERM" in said.seen
    assert said.means == "what would have finished is killed"
