"""`gateway idle` says whether a host may be stopped, and by its status alone whether it is so."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.cli.idle.duration import spelt
from gateway.core.boot import boot_id
from gateway.core.clock import SystemClock
from gateway.server.sighting import FOLDER, Sighting, SightingFile
from gateway.settings import names

ENOUGH_SECS = 50
Run = Callable[..., subprocess.CompletedProcess[str]]
IDLE, UNKNOWN, ACTIVE, HELD, MISTYPED = 0, 3, 4, 5, 2


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`gateway idle` with these arguments, for the gateways whose data is in the test's folder."""
    known = {*names(), "GATEWAY_CONFIG", "USER", "LOGNAME"}
    own = {name: value for name, value in os.environ.items() if name not in known}  # noqa: TID251 -- handed on

    def idle(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 -- this interpreter, our own module
            [sys.executable, "-P", "-m", "gateway", "idle", "--data-path", str(tmp_path), *arguments],
            cwd=tmp_path,
            env={**own, "LOGNAME": "alice"},
            capture_output=True,
            text=True,
            timeout=ENOUGH_SECS,
            check=False,
        )

    return idle


@contextmanager
def a_gateway(data: Path, *, idle_for: float = 0.0, running: int = 0) -> Iterator[None]:
    """What a gateway that runs has written a moment ago."""
    now = SystemClock.monotonic()
    with SightingFile(data / FOLDER, boot_id(), now) as file:
        file.tell(Sighting(boot_id(), now - idle_for, now, running))
        yield


def said(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(result.stdout)
    return answer


def test_idle_for_long_enough_is_a_reason_to_stop(run: Run, tmp_path: Path) -> None:
    with a_gateway(tmp_path, idle_for=3600):
        result = run("--for", "1h")
        answer = said(run("--for", "30m", "--json"))
    assert (result.returncode, result.stdout) == (IDLE, "idle: no request has run for 1h\n") or (
        result.stdout.startswith("idle: no request has run for 1h ")
    )
    assert (answer["verdict"], answer["wanted_seconds"], answer["running"], answer["gateways"]) == ("idle", 1800, 0, 1)
    assert 3600 <= answer["idle_seconds"] < 3600 + ENOUGH_SECS
    assert answer["held_until"] is None


def test_not_for_long_enough_is_none(run: Run, tmp_path: Path) -> None:
    with a_gateway(tmp_path, idle_for=600):
        result = run("--for", "30m")
    assert result.returncode == ACTIVE
    assert result.stdout.startswith("active: no request has run for 10m")
    assert result.stdout.endswith("which is less than 30m\n")


def test_a_request_that_runs_is_none_however_little_is_asked(run: Run, tmp_path: Path) -> None:
    with a_gateway(tmp_path, idle_for=600), a_gateway(tmp_path, idle_for=600, running=1):
        result = run("--json")
    assert (result.returncode, said(result)["verdict"], said(result)["idle_seconds"]) == (ACTIVE, "active", 0.0)
    assert said(result)["gateways"] == 2


def test_without_a_gateway_nothing_is_known(run: Run) -> None:
    result = run("--json")
    assert (result.returncode, said(result)["verdict"]) == (UNKNOWN, "unknown")
    assert said(result)["idle_seconds"] is None
    assert "no gateway runs" in said(result)["why"]


def test_a_folder_that_cannot_be_read_is_not_idleness(run: Run, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "made-up.seen").mkdir()
    assert run().returncode == UNKNOWN


def test_a_hold_counts_however_idle_it_is_until_it_is_released(run: Run, tmp_path: Path) -> None:
    with a_gateway(tmp_path, idle_for=7200):
        made = run("hold", "2h", "--why", "a long \x1b[31mnight")
        held = run("--for", "1h")
        until = datetime.fromisoformat(said(run("--json"))["held_until"])
        assert made.returncode == 0
        assert held.returncode == HELD
        assert "by alice: a long ?[31mnight" in held.stdout
        assert timedelta(hours=1, minutes=58) < until - datetime.now(UTC) < timedelta(hours=2, minutes=1)
        assert run("release").returncode == 0
        assert run("--for", "1h").returncode == IDLE
        assert run("release").returncode == 0


def test_a_hold_counts_while_no_gateway_runs(run: Run) -> None:
    run("hold", "1h")
    assert run().returncode == HELD


def test_the_last_hold_counts_and_none_after_its_end(run: Run, tmp_path: Path) -> None:
    with a_gateway(tmp_path, idle_for=7200):
        run("hold", "3d")
        run("hold", "1s")
        assert "until" in (tmp_path / FOLDER / "hold.json").read_text()
        (tmp_path / FOLDER / "hold.json").write_bytes(
            orjson.dumps({"until": "2026-01-01T00:00:00+00:00", "by": "alice", "why": ""})
        )
        assert run().returncode == IDLE


@pytest.mark.parametrize("words", ["", "{}", '{"until": "tomorrow", "by": "a", "why": ""}', '{"until": 5}'])
def test_a_hold_that_cannot_be_read_is_not_idleness(run: Run, tmp_path: Path, words: str) -> None:
    with a_gateway(tmp_path, idle_for=7200):
        (tmp_path / FOLDER / "hold.json").write_text(words)
        result = run()
        assert (result.returncode, "gateway idle release" in result.stdout) == (UNKNOWN, True)
        run("release")
        assert run().returncode == IDLE


@pytest.mark.parametrize("time", ["0s", "8d", "2 hours", "-1h", "h"])
def test_nobody_holds_for_ever_or_for_nothing(run: Run, tmp_path: Path, time: str) -> None:
    assert run("hold", "--", time).returncode == MISTYPED
    assert not (tmp_path / FOLDER).exists()


def test_settings_that_will_not_do_are_not_idleness(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GATEWAY_WORKERS=none\n")
    result = subprocess.run(
        [sys.executable, "-P", "-m", "gateway", "idle"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == UNKNOWN
    assert "GATEWAY_WORKERS" in result.stdout


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0s"), (59.9, "59s"), (3900, "1h 5m"), (90061, "1d 1h"), (86_400, "1d")]
)
def test_times_are_shown_by_their_largest_units(seconds: float, words: str) -> None:
    assert spelt(seconds) == words
