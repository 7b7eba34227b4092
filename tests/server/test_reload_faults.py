"""What goes wrong in a reload leaves the workers as they are, and is told."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server.site import Site, serving_site, until, word
from tests.server.supervised import (
    ROOT,
    await_that,
    environment,
    free_port,
    serving,
    streaming,
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize(
    ("change", "outcome", "reason"),
    [
        ({"GATEWAY_WORKERS": "none"}, "refused", "GATEWAY_WORKERS must be a whole number (it is 'none')"),
        ({"LIMITER_STORE": "memory", "GATEWAY_WORKERS": 1}, "refused", "LIMITER_STORE cannot change while the gateway"),
        ({"GATEWAY_HOST": "0.0.0.0"}, "refused", "GATEWAY_HOST cannot change while the gateway runs (it is 127.0.0.1"),  # noqa: S104 -- not bound
    ],
    ids=["a mistake", "the store", "the address"],
)
def test_settings_that_will_not_do_leave_the_workers_as_they_are(
    change: dict[str, object], outcome: str, reason: str, site: Site
) -> None:
    with serving_site(site, METRICS_PORT=str(free_port())) as gateway:
        before = gateway.workers()
        site.settings(**change)
        event = gateway.reloaded()
        assert (event["event"], event["level"], event["outcome"]) == ("not_reloaded", "error", outcome)
        assert event["why"][0].startswith(reason)
        assert gateway.workers() == before
        assert gateway.figure(f'gateway_reloads_total{{outcome="{outcome}"}}') == 1
        site.settings()
        gateway.reload()
        await_that(lambda: gateway.events("reloaded"))
        await_that(lambda: not gateway.workers() & before)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("raise ValueError('two groups claim one model name')", "two groups claim one model name"),
        ("assert worker.index == 0, 'no room'", "AssertionError: no room"),
        ("import os; os._exit(7)", "ended with status 7"),
        ("from nowhere import anything", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
    ids=["the first", "the second alone", "without a word", "an import"],
)
def test_new_workers_that_do_not_come_up_leave_the_old_ones_as_they_are(
    statement: str, reason: str, site: Site
) -> None:
    done = site.folder / "done"
    with serving_site(site, METRICS_PORT=str(free_port())) as gateway, streaming(gateway, done) as stream:
        before = gateway.workers()
        site.module("second", statement)
        event = gateway.reloaded()
        assert (event["outcome"], reason in event["why"][0]) == ("failed", True), event
        await_that(lambda: gateway.workers() == before)
        assert gateway.figure('gateway_reloads_total{outcome="failed"}') == 1
        assert word(gateway) == "first sk-key-one"
        assert not gateway.events("worker_died")
        site.module("third")
        gateway.reload()
        await_that(lambda: gateway.events("reloaded"))
        assert word(gateway) == "third sk-key-one"
        done.touch()
        assert stream.last() == "the end"


def test_a_reload_that_can_start_no_process_costs_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        before, pid = gateway.workers(), gateway.process.pid
        limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limit[1]))  # no further descriptor
        event = gateway.reloaded()
        assert (event["event"], event["outcome"]) == ("not_reloaded", "refused")
        assert "Too many open files" in event["why"][0]
        assert (gateway.workers(), bool(gateway.ask())) == (before, True)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
        gateway.reload()
        await_that(lambda: gateway.events("reloaded"))


def test_a_retiring_worker_that_is_killed_is_told_of_and_not_replaced(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway, streaming(gateway, tmp_path / "never") as stream:
        gateway.reloaded()
        os.kill(stream.worker, signal.SIGKILL)
        with pytest.raises(httpx.RemoteProtocolError):
            stream.last()
        await_that(lambda: gateway.events("worker_died"))
        (death,) = gateway.events("worker_died")
        assert (death["pid"], "next_in_secs" in death) == (stream.worker, False)
        assert len(gateway.workers()) == 2


def test_old_workers_that_die_in_the_midst_of_a_reload_stop_it_in_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        before = gateway.workers()
        gateway.reload()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await_that(lambda: gateway.events("reloaded"))
        await_that(lambda: len(gateway.workers()) == 2)
        assert gateway.ask()


def test_a_worker_that_is_to_retire_before_it_has_come_up_never_serves_as_one_of_them(site: Site) -> None:
    born, done = site.folder / "born", site.folder / "done"
    with serving_site(site, GATEWAY_WORKERS="1", METRICS_PORT=str(free_port())) as gateway:
        site.module("second", until(born, done))
        (first,) = gateway.workers()
        os.kill(first, signal.SIGKILL)
        await_that(born.exists)
        (late,) = gateway.workers()
        site.module("third")
        gateway.reloaded()
        done.touch()
        await_that(lambda: [event["pid"] for event in gateway.events("worker_retired")] == [late])
        assert word(gateway) == "third sk-key-one"
        assert gateway.figure('gateway_workers{state="serving"}') == 1
        assert gateway.figure('gateway_workers{state="retiring"}') == 0


def test_a_reload_whose_outcome_cannot_be_written_is_told_in_the_log(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        (gateway.state / f"gateway-{gateway.address[1]}.draft").mkdir()  # as good as a disk that is full
        gateway.reloaded()
        assert [event["outcome"] for event in gateway.events("notice_not_written")] == ["running", "done"]


FAULTY = """
import asyncio, contextlib, sys
from pathlib import Path
from gateway.server.blueprint import Alone, Blueprint
from gateway.server.supervisor import Supervisor
from gateway.settings import load

def no_companion(page, before):
    raise ZeroDivisionError("in the companion")

async def in_the_companion():
    return Blueprint(load(), companion=no_companion)

async def in_reading():
    raise ZeroDivisionError("in reading")

async def run():
    answers = [in_the_companion, in_reading]
    async def renew():
        return await (answers.pop(0)() if answers else sound())
    async def sound():
        return Blueprint(load())
    def look(_):
        gateway.reload()
        asyncio.create_task(again())
    async def again():
        for number in range(2, 5):
            while gateway._notice.reloads < number - 1 or gateway._notice.outcome == "running":
                await asyncio.sleep(0.01)
            print(gateway._notice.outcome, *gateway._notice.words, flush=True)
            gateway.stop() if number == 4 else gateway.reload()
    gateway = Supervisor(
        Blueprint(load()), factory="tests.server.apps:build", renew=renew, directory=Path(sys.argv[1]), on_ready=look
    )
    await gateway.run()

asyncio.run(run())
"""


def test_a_fault_of_ours_in_a_reload_leaves_the_workers_as_they_are(tmp_path: Path) -> None:
    run = subprocess.run(  # noqa: S603 -- fixed words
        [sys.executable, "-c", FAULTY, str(tmp_path)[:80]],
        env=environment(GATEWAY_WORKERS="1"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    first, second, third = run.stdout.splitlines()
    assert first == "failed ZeroDivisionError('in the companion')"
    assert second == "failed a fault of ours, the log has more: ZeroDivisionError('in reading')"
    assert third.startswith("done 1 new workers serve")
    assert run.stderr.count("Traceback") == 2
    assert ("generation_failed" in run.stderr, "reload_failed" in run.stderr) == (True, True)
