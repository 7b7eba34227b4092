"""Tests of bench/publish.py and bench/plots.py, where matplotlib is installed: the page and small pictures."""

import sys
from pathlib import Path

import pytest

from bench.instruments.build import compiler
from bench.processes import finished
from bench.table import read_all
from tests.support import docker

pytest.importorskip("matplotlib", reason="`make bench` installs matplotlib")

from bench.plots import PLOTS, draw
from bench.publish import publish

LINES = read_all(Path(__file__).with_name("recorded.jsonl"))
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 60_000
"""Bytes of a picture that may lie in the repository."""


def test_a_page_and_its_pictures_are_written(tmp_path: Path) -> None:
    page = publish(LINES, tmp_path)
    assert page == tmp_path / "BENCHMARK.md"
    pictures = sorted((tmp_path / "bench").iterdir())
    assert [picture.stem for picture in pictures] == sorted(plot.name for plot in PLOTS)
    for picture in pictures:
        assert picture.read_bytes().startswith(PNG)
        assert picture.stat().st_size < LARGEST
        assert f"(bench/{picture.name})" in page.read_text()


def test_writing_it_again_changes_nothing(tmp_path: Path) -> None:
    first = publish(LINES, tmp_path).read_text()
    assert publish(LINES, tmp_path).read_text() == first


def test_a_run_writes_what_it_has_measured(tmp_path: Path) -> None:
    if compiler() is None:
        docker.skip_or_fail("NO C COMPILER: the benchmark was not tried")
    options = ["--quick", "--reps", "1", "--peers", "direct", "--only", "json"]
    done = finished([sys.executable, "-m", "bench.run", *options, "--out", tmp_path / "out", "--write", tmp_path])
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "BENCHMARK.md").read_text()
    assert "### JSON c=1" in page
    assert "SSE burst" not in page.partition("## Every figure")[2]


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    figures = {"start s": 1.0, "memory MiB idle": 70.0}
    rows = [{"peer": "gateway", "repetition": 1, "figures": figures, "notes": []}]
    assert list(draw(rows, tmp_path)) == ["memory.png"]
    assert [picture.name for picture in tmp_path.iterdir()] == ["memory.png"]
