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

from bench.instruments.build import compiler
from bench.perf import can_count
from bench.plan import QUICK
from tests.support import docker

ROOT = Path(__file__).parents[2]
STREAM_ROWS = ("events/s", "first event p50 ms", "lag p99 ms", "CPU us/event")
JSON_ROWS = ("requests/s", "p50 ms", "p99 ms", "CPU us/request")
OTHER_ROWS = (
    "memory MiB idle",
    "memory MiB idle, largest process",
    "memory MiB idle, serving process",
    "memory MiB peak",
    "start s",
    "start CPU s",
    "close seen upstream ms, SSE",
    "close seen upstream ms, JSON",
    "core: ms for fixed work",
)

pytestmark = pytest.mark.timeout(300)


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`python -m bench.run`, with its temporary files in `folder`."""
    if compiler() is None:
        docker.skip_or_fail("NO C COMPILER: the benchmark was not tried")
    return subprocess.run(  # noqa: S603 -- this interpreter, our own module
        [sys.executable, "-m", "bench.run", "--quick", "--reps", "1", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder)},  # noqa: TID251 -- a child needs it
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_measures_everything_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # One test, as each would need a run of its own.
    out, folder = tmp_path / "results.jsonl", tmp_path / "temporary"
    folder.mkdir()
    done = bench("--peers", "direct", "gateway", "--out", str(out), folder=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    about, direct, gateway = map(orjson.loads, out.read_bytes().splitlines())

    assert about["run"]["cores"] == os.cpu_count()
    assert about["run"]["versions"]["gateway"].startswith("gateway")
    _every_answer_is_right(direct)
    _every_answer_is_right(gateway)
    _every_figure_is_there(gateway["figures"])
    assert direct["figures"]["JSON c=1: requests/s"] > 0
    assert direct["figures"]["JSON c=1: CPU us/request"] is None
    assert done.stdout.splitlines()[1].split() == ["direct", "gateway"]
    assert "\nstart to the first 200: " in done.stdout.partition("The goals, ")[2]
    assert list(folder.iterdir()) == []
    assert [place for place in _working_directories() if place.startswith(str(folder))] == []


def test_one_topic_can_be_measured_alone(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    done = bench("--peers", "gateway", "--only", "json", "--scale", "0.5", "--out", str(out), folder=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    _, row = map(orjson.loads, out.read_bytes().splitlines())
    assert {load.name for load in QUICK.timed if load.topic == "json"} == set(row["windows"])
    assert "close seen upstream ms, SSE" not in row["figures"]


def test_a_peer_that_is_named_and_not_installed_stops_the_run(tmp_path: Path) -> None:
    done = bench("--peers", "vllm-router", "--venvs", str(tmp_path), folder=tmp_path)
    assert done.returncode == 1
    assert "vllm-router is neither on PATH nor in the folder of --venvs" in done.stderr
    assert "run `make bench-peers PEERS=vllm-router`" in done.stderr


def _every_answer_is_right(row: dict[str, Any]) -> None:
    assert row["figures"]["failed answers"] == 0
    assert row["notes"] == []
    loads = [*QUICK.timed, *QUICK.crowds, *(QUICK.scaled.values() if row["peer"] == "gateway" else ())]
    assert {load.name for load in loads} == set(row["windows"])
    for load in loads:
        assert row["windows"][load.name]["load"]["status"].keys() == {"200"}


def _every_figure_is_there(figures: dict[str, float]) -> None:
    for load in (*QUICK.timed, *QUICK.crowds, *QUICK.scaled.values()):
        for name in STREAM_ROWS if load.stream else JSON_ROWS:
            assert figures[f"{load.name}: {name}"] > 0
    for load in QUICK.crowds:
        assert figures[f"{load.name}: memory KiB/stream"] > 0
    for name in OTHER_ROWS:
        assert figures[name] > 0
    for load in QUICK.counted if can_count() else ():
        assert figures[f"{load.name}: k instructions/request"] > 1


def _working_directories() -> Iterator[str]:
    """Where every process of this machine is, as far as it may be seen."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            yield str(link.readlink())
