"""Does the table tell the truth? Real runs of pytest over small rows, each with its exit status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.row import Row

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests.chaos.plugin import Table
from tests.chaos.row import Row, Section

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table((Section("All", ({rows},)),)), "table")
"""
TESTS = """
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_good(number): ...

@pytest.mark.parametrize("number", [1, 2])
def test_half_bad(number):
    assert number == 1

@pytest.fixture
def broken():
    yield
    raise RuntimeError

def test_good_but_for_its_end(broken): ...

@pytest.mark.parametrize("number", [1, 2])
def test_half_skipped(number):
    if number == 2:
        pytest.skip("for a reason")
"""


def run(
    folder: Path, *rows: str, tests: tuple[str, ...] = ("test_good",), processes: str = "0", ci: str = ""
) -> tuple[int, list[str]]:
    """Exit status and printed lines of a run of these tests with these rows."""
    (folder / "conftest.py").write_text(CONFTEST.format(rows=", ".join(rows)))
    (folder / "test_it.py").write_text(TESTS)
    alone = {"CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment = {**os.environ, **alone}  # noqa: TID251 -- handed on to a child
    options = ("-p", "xdist", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder), "-n", processes)
    result = subprocess.run(  # noqa: S603 -- this interpreter
        [sys.executable, "-m", "pytest", "-q", *options, *(f"test_it.py::{name}" for name in tests)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    return result.returncode, result.stdout.splitlines()


def row(*names: str) -> str:
    tests = ", ".join(f"'test_it.py::{name}'" for name in names)
    return f"Row('the case', 'expected', ({tests},))"


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_row_holds_when_all_runs_of_its_tests_passed(tmp_path: Path, processes: str) -> None:
    status, lines = run(tmp_path, row("test_good"), processes=processes)
    assert status == 0
    assert [line.split()[:3] for line in lines if line.endswith("the case")] == [["held", "2", "tests"]]
    assert any("rows: 1 held" in line for line in lines)


@pytest.mark.parametrize("name", ["test_half_bad", "test_good_but_for_its_end"])
def test_one_failure_in_one_run_or_at_its_end_fails_the_row(tmp_path: Path, name: str) -> None:
    status, lines = run(tmp_path, row("test_good", name), tests=("test_good", name))
    assert status == 1
    assert any(line.startswith("FAILED ") and line.endswith("the case") for line in lines)


def test_a_row_whose_test_did_not_run_fails_the_whole(tmp_path: Path) -> None:
    status, lines = run(tmp_path, row("test_good", "test_nobody_wrote"))
    assert status == 1
    assert any(line.startswith("NOT RUN ") and line.endswith("the case") for line in lines)


@pytest.mark.parametrize(("ci", "expected"), [("", 0), ("true", 1)])
def test_a_skipped_run_is_told_and_fails_where_ci_is_set(tmp_path: Path, ci: str, expected: int) -> None:
    status, lines = run(tmp_path, row("test_half_skipped"), tests=("test_half_skipped",), ci=ci)
    assert status == expected
    assert any(line.startswith("skipped ") and line.endswith("the case") for line in lines)


def test_a_row_of_a_later_step_says_so_and_fails_nothing(tmp_path: Path) -> None:
    later = "Row('keys revoked', 'refused', later='step 4, keys')"
    status, lines = run(tmp_path, row("test_good"), later)
    assert status == 0
    assert any(" ".join(line.split()) == "not yet keys revoked (step 4, keys)" for line in lines)


@pytest.mark.parametrize(("tests", "later"), [((), ""), (("a.py::test_b",), "step 4")])
def test_a_row_has_tests_or_says_when_it_will(tests: tuple[str, ...], later: str) -> None:
    with pytest.raises(ValueError, match="needs tests"):
        Row("a case", "what must come of it", tests, later)
