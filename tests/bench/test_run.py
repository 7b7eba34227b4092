"""Tests of bench/run.py: the harness itself, on a quick run in front of the real gateway."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.figures import QUICK
from bench.instruments.build import compiler
from bench.perf import can_count
from tests.support import docker

ROOT = Path(__file__).parents[2]
STREAM_ROWS = ("events/s", "first event p50 ms", "lag p99 ms", "CPU us/event")
JSON_ROWS = ("requests/s", "p50 ms", "p99 ms", "CPU us/request")
PEER_ROWS = ("memory MiB idle", "memory MiB peak", "start s", "start CPU s")

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("bench"),  # one quick run for all of them
]


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`python -m bench.run`, with its temporary files in `folder`."""
    return subprocess.run(  # noqa: S603 -- this interpreter, our own module
        [sys.executable, "-m", "bench.run", "--quick", "--reps", "1", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder)},  # noqa: TID251 -- a child needs it
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]], Path]:
    """A quick run with the gateway: its table, its results, its temporary folder."""
    if compiler() is None:
        docker.skip_or_fail("NO C COMPILER: the benchmark was not tried")
    folder = tmp_path_factory.mktemp("bench")
    out = tmp_path_factory.mktemp("out") / "results.jsonl"
    done = bench("--peers", "direct", "gateway", "--out", str(out), folder=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout, [orjson.loads(line) for line in out.read_bytes().splitlines()], folder


def test_every_answer_is_as_it_should_be(quick: tuple[str, list[dict[str, Any]], Path]) -> None:
    _, (_, direct, gateway), _ = quick
    for row in (direct, gateway):
        assert row["figures"]["failed answers"] == 0
        assert row["notes"] == []
        for load in QUICK.timed:
            assert row["windows"][load.name]["load"]["status"].keys() == {"200"}


def test_every_figure_is_there(quick: tuple[str, list[dict[str, Any]], Path]) -> None:
    _, (_, _, gateway), _ = quick
    for load in QUICK.timed:
        for name in STREAM_ROWS if load.stream else JSON_ROWS:
            assert gateway["figures"][f"{load.name}: {name}"] > 0
    for name in (*PEER_ROWS, "close seen upstream ms, SSE", "close seen upstream ms, JSON", "core: ms for fixed work"):
        assert gateway["figures"][name] > 0
    for load in QUICK.counted if can_count() else ():
        assert gateway["figures"][f"{load.name}: k instructions/request"] > 1


def test_without_a_gateway_only_the_instruments_are_measured(quick: tuple[str, list[dict[str, Any]], Path]) -> None:
    _, (_, direct, _), _ = quick
    assert direct["figures"]["JSON c=1: requests/s"] > 0
    assert direct["figures"]["JSON c=1: CPU us/request"] is None


def test_the_run_says_what_it_ran_on(quick: tuple[str, list[dict[str, Any]], Path]) -> None:
    _, (about, *_), _ = quick
    assert about["run"]["cores"] == os.cpu_count()
    assert "gateway" in about["run"]["versions"]["gateway"]


def test_the_table_ends_the_run(quick: tuple[str, list[dict[str, Any]], Path]) -> None:
    table, _, _ = quick
    assert table.splitlines()[1].split() == ["direct", "gateway"]


def test_nothing_is_left_running_and_nothing_is_left_behind(quick: tuple[str, list[dict[str, Any]], Path]) -> None:
    _, _, folder = quick
    assert list(folder.iterdir()) == []
    assert [place for place in _working_directories() if place.startswith(str(folder))] == []


def test_a_peer_that_is_named_and_not_installed_stops_the_run(tmp_path: Path) -> None:
    if compiler() is None:
        docker.skip_or_fail("NO C COMPILER: the benchmark was not tried")
    done = bench("--peers", "vllm-router", "--venvs", str(tmp_path), folder=tmp_path)
    assert done.returncode == 1
    assert "vllm-router is neither on PATH nor in the folder of --venvs" in done.stderr


def _working_directories() -> Iterator[str]:
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            yield str(link.readlink())
