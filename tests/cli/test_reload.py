"""`gateway reload` as an operator or a script runs it: what it says, and its exit status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import reload as command
from gateway.server.pid_file import Found
from tests.server.supervised import ROOT, Gateway, await_that, environment, serving


def reload(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 -- this interpreter, our own module
        [sys.executable, "-m", "gateway", "reload", *arguments],
        cwd=ROOT if folder == ROOT else folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def of(gateway: Gateway) -> dict[str, str]:
    return {"LIMITER_PATH": str(gateway.state)}


def test_it_waits_for_the_new_workers_and_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        before = gateway.workers()
        result = reload(tmp_path, **of(gateway))
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == "reloaded: 2 new workers serve; the 2 old ones finish what they have\n"
        await_that(lambda: len(gateway.workers()) == 2)
        assert not gateway.workers() & before
        assert reload(tmp_path, "--limiter-path", str(gateway.state)).returncode == 0
        await_that(lambda: len(gateway.events("reloaded")) == 2)


def test_settings_that_will_not_do_are_said_by_the_gateway(tmp_path: Path) -> None:
    with serving(tmp_path, cwd=tmp_path, app="gateway.app:build", MAX_REQUEST_SECS="") as gateway:
        before = gateway.workers()
        (tmp_path / ".env").write_text("MAX_REQUEST_SECS=-5\nQUEUE_TIMEOUT_SEC=1\n")
        result = reload(tmp_path, "--limiter-path", str(gateway.state))
        assert (result.returncode, result.stdout) == (1, "")
        first, *mistakes = result.stderr.splitlines()
        assert first == "gateway: not reloaded, the workers stay as they are:"
        assert len(mistakes) == 2
        assert all(line.startswith("gateway: ") for line in mistakes)
        assert gateway.workers() == before


def test_another_secret_for_keys_is_refused_as_none_would_be_known(tmp_path: Path) -> None:
    """The one before was made at the start, and lies in DATA_PATH."""
    with serving(tmp_path, cwd=tmp_path, app="gateway.app:build", DATA_PATH=str(tmp_path / "data")) as gateway:
        before = gateway.workers()
        (tmp_path / ".env").write_text("KEY_HASH_SECRET=0123456789abcdef0123456789abcdef\n")
        result = reload(tmp_path, "--limiter-path", str(gateway.state))
        assert (result.returncode, result.stdout) == (1, "")
        assert "gateway: KEY_HASH_SECRET, or its file in DATA_PATH, cannot change" in result.stderr
        assert "0123456789abcdef" not in result.stderr
        assert gateway.workers() == before


def test_settings_that_will_not_do_here_are_said_before_anybody_is_asked(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        result = reload(tmp_path, GATEWAY_WORKERS="none", **of(gateway))
        assert result.returncode == 1
        unasked, mistake = result.stderr.splitlines()
        assert unasked.startswith(f"gateway: the gateway was not asked to reload: there is no .env in {tmp_path};")
        assert mistake.startswith("gateway: GATEWAY_WORKERS must be")
        assert not gateway.events("reloaded")
        assert not gateway.events("not_reloaded")


def test_the_file_that_will_not_do_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("QUEUE_TIMEOUT_SECS=-1\n")
    unasked, mistake = reload(tmp_path, QUEUE_TIMEOUT_SECS="").stderr.splitlines()
    assert f"not asked to reload: the settings in {tmp_path / '.env'} and the environment" in unasked
    assert mistake.startswith("gateway: QUEUE_TIMEOUT_SECS must be")


def test_where_nobody_runs_that_is_said(tmp_path: Path) -> None:
    place = str(tmp_path)[:70]
    result = reload(tmp_path, LIMITER_PATH=place)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == f"gateway: no running gateway is found in {place}\n"


def test_of_several_gateways_one_is_chosen_by_its_port(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with serving(tmp_path / "a") as one, serving(tmp_path / "b", LIMITER_PATH=str(one.state)) as other:
        result = reload(tmp_path, **of(one))
        assert result.returncode == 3
        assert f"{min(one.address[1], other.address[1])}, {max(one.address[1], other.address[1])}" in result.stderr
        assert reload(tmp_path, "--port", str(other.address[1]), **of(one)).returncode == 0
        await_that(lambda: len(other.events("reloaded")) == 1)
        assert not one.events("reloaded")
        assert reload(tmp_path, "--port", "1", **of(one)).returncode == 3


@pytest.mark.parametrize("timeout", ["0"])
def test_what_is_not_known_in_time_has_a_status_of_its_own(timeout: str, tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        result = reload(tmp_path, "--timeout", timeout, **of(gateway))
        assert (result.returncode, "has not said within 0 s" in result.stderr) == (4, True)
        await_that(lambda: gateway.events("reloaded"))


def test_a_gateway_that_no_signal_from_here_reaches_gets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says 0 of a process in another namespace; a signal to 0 is one to the caller's own group."""
    sent: list[object] = []
    monkeypatch.setattr(command, "find", lambda _: [Found(0, 9000, tmp_path / "gateway-9000.pid")])
    monkeypatch.setattr(os, "kill", lambda *signal: sent.append(signal))
    (tmp_path / "gateway-9000.reload").write_text('{"reloads": 0, "outcome": "none", "words": []}')
    result = CliRunner().invoke(command.reload, ["--limiter-path", str(tmp_path), "--timeout", "0"])
    assert (result.exit_code, sent) == (3, [])
    assert "run it in the same container" in result.stderr
