"""Tests of the supervisor and its workers: real processes, real signals."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from gateway.server.channel import KILL_MARGIN_SECS, farewell_secs
from tests.server.supervised import (
    COUNTER,
    GAUGE,
    ROOT,
    await_that,
    command,
    environment,
    free_port,
    serving,
    streaming,
)

REPLACED_SECS = 2.0
"""Within this time another worker serves in the place of one that crashed, on a machine that has time for it."""


def test_all_workers_answer_and_have_their_own_index(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        seen: set[str] = set()

        def both() -> bool:
            seen.add(gateway.ask())
            return len(seen) == 2

        await_that(both)
        pids, indexes = zip(*(answer.split()[:2] for answer in seen), strict=True)
        assert {int(pid) for pid in pids} == gateway.workers()
        assert set(indexes) == {"0", "1"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_refuses_at_once_lets_a_stream_finish_and_exits_with_0(number: signal.Signals, tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path) as gateway, streaming(gateway, done) as stream:
        gateway.process.send_signal(number)
        await_that(gateway.refuses)
        for _ in range(5):
            assert next(stream) == "part"
        assert gateway.process.poll() is None
        done.touch()
        assert stream.last() == "the end"
        assert gateway.process.wait(30) == 0
        said = [event["event"] for event in gateway.events()]
        assert [event for event in said if event != "backend_changed"][-2:] == ["drain_began", "stopped"]
        assert {event["level"] for event in gateway.events()} == {"info"}


STOPPED_FIRST = """
import asyncio, sys
from pathlib import Path
from gateway.server.blueprint import Blueprint
from gateway.server.supervisor import Supervisor
from gateway.settings import load

async def run():
    blueprint = Blueprint(load())
    gateway = Supervisor(blueprint, factory="tests.server.apps:Application", renew=None, directory=Path(sys.argv[1]))
    gateway.stop()
    gateway.stop()
    await gateway.run()

asyncio.run(run())
"""


def test_one_that_is_told_to_stop_before_it_runs_starts_nobody(tmp_path: Path) -> None:
    run = subprocess.run(  # noqa: S603 -- fixed words
        [sys.executable, "-c", STOPPED_FIRST, str(tmp_path)],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (run.returncode, run.stderr.decode()) == (0, "drain_abandoned\n")  # of the standard library: warnings alone


def test_a_terminals_ctrl_c_is_the_supervisors_alone_to_answer(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path) as gateway, streaming(gateway, done) as stream:
        assert os.getpgid(gateway.process.pid) == gateway.process.pid != os.getpgrp()
        os.killpg(gateway.process.pid, signal.SIGINT)  # the terminal's goes to each process of the group
        await_that(gateway.refuses)
        done.touch()
        assert stream.last() == "the end"
        assert gateway.process.wait(30) == 0
        said = [event["event"] for event in gateway.events()]
        assert [event for event in said if event != "backend_changed"][-2:] == ["drain_began", "stopped"]
        assert {event["level"] for event in gateway.events()} == {"info"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_terminals_signal_to_a_worker_itself_cuts_no_stream(number: signal.Signals, tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path) as gateway, streaming(gateway, done) as stream:
        before = gateway.workers()
        for pid in before:
            os.kill(pid, number)
        for _ in range(5):
            assert next(stream) == "part"
        done.touch()
        assert stream.last() == "the end"
        assert gateway.workers() == before
        assert not gateway.events("worker_died")


def starting(tmp_path: Path, app: str) -> "subprocess.Popen[bytes]":
    """A gateway whose workers hang in their start, and have said so."""
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
            command(app), env=environment(DRAIN_SECS="3600", LIMITER_PATH=str(tmp_path)), cwd=ROOT, stderr=stderr
        )
    await_that(lambda: log.read_text().count("it hangs") == 2)
    return process


def test_a_worker_that_hangs_in_its_start_is_not_waited_for(tmp_path: Path) -> None:
    with starting(tmp_path, "hangs_in_its_start") as process:
        process.terminate()
        assert process.wait(30) == 0
    assert "worker_" not in (tmp_path / "log").read_text()  # none was overdue, none has failed


def test_one_whose_loop_stands_still_in_its_start_is_killed_soon(tmp_path: Path) -> None:
    with starting(tmp_path, "stands_still_in_its_start") as process:
        process.terminate()
        assert process.wait(30) == 0
    assert (tmp_path / "log").read_text().count(f'"killed_after":{KILL_MARGIN_SECS}') == 2


def test_a_worker_whose_application_fails_lets_streams_finish_and_is_replaced(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path, "loses_what_it_holds", GATEWAY_WORKERS="1") as gateway, streaming(gateway, done) as stream:
        gateway.ask("/lose")
        await_that(lambda: "application_failed" in gateway.log.read_text())
        done.touch()
        assert stream.last() == "the end"
        await_that(lambda: len(gateway.events("worker_serving")) == 2)
        (death,) = gateway.events("worker_died")
        assert (death["pid"], death["how"]) == (stream.worker, "ended with status 1")


def test_a_stop_refuses_even_while_a_worker_is_stuck(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path) as gateway:
        gateway.ask(f"/block?{done}")
        gateway.process.terminate()
        await_that(gateway.refuses)
        assert gateway.process.poll() is None
        done.touch()
        assert gateway.process.wait(30) == 0


def test_what_has_not_finished_in_time_is_cut_with_a_farewell(tmp_path: Path) -> None:
    with serving(tmp_path, DRAIN_SECS="0.2") as gateway, streaming(gateway, tmp_path / "never") as stream:
        gateway.process.terminate()
        assert stream.last() == "cut off"
        assert gateway.process.wait(30) == 0


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway, streaming(gateway, tmp_path / "never") as stream:
        gateway.process.send_signal(signal.SIGINT)
        await_that(gateway.refuses)
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.process.wait(30) == 0
        assert len(gateway.events("drain_abandoned")) == len(gateway.events("stopped")) == 1
        with pytest.raises(httpx.HTTPError):
            stream.last()


def test_a_worker_that_does_not_end_in_its_time_is_told_of_and_killed(tmp_path: Path) -> None:
    with serving(tmp_path, DRAIN_SECS="0") as gateway:
        stopped = min(gateway.workers())
        os.kill(stopped, signal.SIGSTOP)
        gateway.process.terminate()
        assert gateway.process.wait(30) == 0
        (event,) = gateway.events("worker_overdue")
        assert (event["pid"], event["killed_after"]) == (stopped, farewell_secs(0))
        assert not Path(f"/proc/{stopped}").exists()


def test_a_killed_worker_is_replaced_and_its_siblings_streams_go_on(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path) as gateway, streaming(gateway, done) as stream:
        before = gateway.workers()
        (victim,) = before - {stream.worker}
        os.kill(victim, signal.SIGKILL)
        await_that(lambda: len(gateway.workers() - before) == 1)
        (fresh,) = gateway.workers() - before
        await_that(lambda: gateway.ask().startswith(f"{fresh} "))
        done.touch()
        assert stream.last() == "the end"
        await_that(lambda: gateway.events("worker_died"))
        (death,) = gateway.events("worker_died")
        assert (death["pid"], death["how"], death["level"]) == (victim, "was killed by SIGKILL", "error")


def test_a_worker_that_another_replaces_is_counted_by_how_it_ended_and_a_retired_one_is_not(tmp_path: Path) -> None:
    with serving(tmp_path, METRICS_PORT=str(free_port()), GATEWAY_WORKERS="2") as gateway:

        def restarts() -> tuple[float, float]:
            exited, killed = (
                gateway.figure(f'gateway_worker_restarts_total{{reason="{reason}"}}') for reason in ("exited", "killed")
            )
            return exited, killed

        assert restarts() == (0, 0)
        one, other = gateway.workers()
        os.kill(one, signal.SIGKILL)
        await_that(lambda: restarts() == (0, 1))
        os.kill(other, signal.SIGTERM)  # it ends by itself, with 0
        await_that(lambda: restarts() == (1, 1))
        await_that(lambda: len(gateway.workers()) == 2)
        gateway.process.send_signal(signal.SIGHUP)
        await_that(lambda: gateway.events("worker_retired"))
        assert restarts() == (1, 1)


def test_a_crashed_worker_is_replaced_within_two_seconds(tmp_path: Path) -> None:
    """By the log's own times. The quickest of three is held to it: whatever else runs here makes others slower."""
    with serving(tmp_path, app="gateway.app:build", GATEWAY_WORKERS="3") as gateway:
        took = []
        for number, first in enumerate(gateway.events("worker_serving"), 1):
            killed = datetime.now(UTC)
            os.kill(first["pid"], signal.SIGKILL)
            await_that(lambda: len(gateway.events("worker_serving")) == 3 + number)  # noqa: B023 -- called in this round
            served = gateway.events("worker_serving")[-1]
            assert served["worker"] == first["worker"]
            took.append((datetime.fromisoformat(served["timestamp"]) - killed).total_seconds())
        assert [death["next_in_secs"] for death in gateway.events("worker_died")] == [0, 0, 0]
        assert min(took) < REPLACED_SECS


def test_a_worker_that_cannot_be_started_again_costs_its_siblings_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        before = gateway.workers()
        pid = gateway.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))  # no further descriptor
        os.kill(next(iter(before)), signal.SIGKILL)
        await_that(lambda: gateway.events("worker_not_started"))
        assert gateway.process.poll() is None
        gateway.ask()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (256, hard))
        await_that(lambda: len(gateway.workers() - before) == 1)
        assert "Too many open files" in gateway.events("worker_not_started")[0]["why"]


def test_what_a_workers_ids_begin_with_is_logged_when_it_serves_and_when_it_dies(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        victim, index, _, request_ids = gateway.ask().split()
        os.kill(int(victim), signal.SIGKILL)
        await_that(lambda: len(gateway.events("worker_serving")) == 3)
        of_victim = {"worker": int(index), "pid": int(victim), "request_ids": request_ids}
        (death,) = gateway.events("worker_died")
        assert of_victim.items() <= death.items()
        births = gateway.events("worker_serving")
        assert any(of_victim.items() <= birth.items() for birth in births)
        assert len({birth["request_ids"] for birth in births}) == 3


def test_a_worker_that_is_killed_in_the_drain_is_logged_too(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway, streaming(gateway, tmp_path / "never") as stream:
        gateway.process.terminate()
        await_that(gateway.refuses)
        os.kill(stream.worker, signal.SIGKILL)
        assert gateway.process.wait(30) == 0
        (death,) = gateway.events("worker_died")
        assert (death["pid"], death["how"]) == (stream.worker, "was killed by SIGKILL")


def test_the_streams_of_a_killed_worker_are_seen_as_incomplete(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway, streaming(gateway, tmp_path / "never") as stream:
        os.kill(stream.worker, signal.SIGKILL)
        with pytest.raises(httpx.RemoteProtocolError):
            stream.last()


def test_a_worker_that_was_told_to_end_is_replaced_too(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        before = gateway.workers()
        os.kill(min(before), signal.SIGTERM)
        await_that(lambda: len(gateway.workers() - before) == 1 and len(gateway.workers()) == 2)
        await_that(lambda: gateway.events("worker_died"))
        (event,) = gateway.events("worker_died")
        assert (event["pid"], event["how"], event["next_in_secs"]) == (min(before), "ended with status 0", 0.0)
        assert max(before) in gateway.workers()


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        workers = gateway.workers()
        gateway.process.kill()
        await_that(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        await_that(gateway.refuses)
        assert gateway.log.read_text().count("supervisor_died") == len(workers)


def test_a_worker_that_stands_still_ends_too_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, GATEWAY_WORKERS="1", DRAIN_SECS="0") as gateway:
        (worker,) = gateway.workers()
        gateway.ask(f"/block?{tmp_path / 'never'}")
        gateway.process.kill()
        await_that(lambda: not Path(f"/proc/{worker}").exists())
        assert " in _block" in gateway.log.read_text()


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("refuse", "gateway: two groups claim one model name"),
        ("broken", "gateway: KeyError: 'chat'"),
        ("fails_to_open", "gateway: the store's directory belongs to lifespan"),
        ("missing", "gateway: cannot load tests.server.apps:missing"),
        ("silent", r"gateway: worker \d \(pid \d+\) ended with status 7"),
    ],
)
def test_a_worker_that_cannot_start_ends_the_start_with_its_message(app: str, message: str) -> None:
    result = subprocess.run(  # noqa: S603 -- this interpreter, our own module
        command(app), cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=50, check=False
    )
    assert result.returncode == 1
    assert len(re.findall(rf"^{message}", result.stderr, re.MULTILINE)) == 1, result.stderr
    assert "listening" not in result.stderr


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "METRICS_PORT"])
def test_a_port_in_use_is_one_clear_line(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = subprocess.run(  # noqa: S603 -- this interpreter, our own module
            command("build"),
            cwd=ROOT,
            env=environment(**{name: str(port)}),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("gateway: cannot ")
    assert line.endswith(f"127.0.0.1:{port}: Address already in use")


def test_the_figures_of_all_workers_are_one_and_outlive_a_worker(tmp_path: Path) -> None:
    with serving(tmp_path, METRICS_PORT=str(free_port())) as gateway:
        for _ in range(20):
            gateway.ask()
        assert (gateway.figure(COUNTER), gateway.figure(GAUGE)) == (20, 2)
        before = gateway.workers()
        with suppress(httpx.HTTPError):
            gateway.ask("/die")
        await_that(lambda: len(gateway.workers() - before) == 1)
        await_that(lambda: gateway.figure(GAUGE) == 2)
        assert gateway.figure(COUNTER) == 21


def test_nothing_is_left_in_shared_memory(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        assert not list(Path("/dev/shm").glob(f"inference-gateway-metrics*-{gateway.address[1]}"))  # noqa: S108
