"""SIGHUP replaces the workers: real processes, whose settings and code change on disk."""

import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

import httpx
import orjson
import pytest

from tests.server.supervised import (
    COUNTER,
    ROOT,
    Gateway,
    await_that,
    command,
    environment,
    free_port,
    serving,
    streaming,
)

MODULE = """
import sys
sys.path.insert(0, {root!r})
from tests.server.apps import Application
WORD = {word!r}

def build(settings, worker):
    {statement}
    return Application(worker, f"{{WORD}} {{settings.gateway_api_key[0].get_secret_value()}}")
"""


class Site:
    """A folder with a .env and a module that makes the application, which a test may change while a gateway runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module()
        self.settings()

    def module(self, word: str = "first", statement: str = "pass") -> None:
        """Write other code; `statement` runs in each worker's start, where `worker` is its identity."""
        text = MODULE.format(root=str(ROOT), word=word, statement=statement)
        (self.folder / "changing.py").write_text(text)

    def settings(self, **settings: object) -> None:
        """Write other settings."""
        lines = {"GATEWAY_WORKERS": 2, "GATEWAY_API_KEY": "sk-key-one", **settings}
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@contextmanager
def serving_site(site: Site, **settings: str) -> Iterator[Gateway]:
    ours = {"GATEWAY_WORKERS": "", "GATEWAY_API_KEY": "", "PYTHONDONTWRITEBYTECODE": "1", **settings}
    with serving(site.folder, "changing:build", cwd=site.folder, **ours) as gateway:
        yield gateway


def until(born: Path, done: Path) -> str:
    """A statement for `Site.module`: make the one file, and wait for the other."""
    waiting = f"all(time.sleep(0.01) is None for _ in iter(lambda: os.path.exists({str(done)!r}), True))"
    return f"import os, time; open({str(born)!r}, 'w').close(); {waiting}"


def word(gateway: Gateway) -> str:
    """What the application was told by code and settings."""
    return " ".join(gateway.ask().split()[4:])


def test_new_workers_serve_and_the_streams_of_the_old_ones_go_on_to_their_end(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path) as gateway:
        with streaming(gateway, done) as stream:
            before = gateway.workers()
            event = gateway.reloaded()
            assert (event["event"], event["workers"], event["retiring"]) == ("reloaded", 2, 2)
            (other,) = before - {stream.worker}
            await_that(lambda: other not in gateway.workers())
            assert len(gateway.workers()) == 3
            assert {int(gateway.ask().split()[0]) for _ in range(20)} <= gateway.workers() - before
            for _ in range(5):
                assert next(stream) == "part"
            done.touch()
            assert stream.last() == "the end"
        await_that(lambda: stream.worker not in gateway.workers())
        await_that(lambda: {event["pid"] for event in gateway.events("worker_retired")} == before)
        assert not gateway.events("worker_died")
        assert len({event["request_ids"] for event in gateway.events("worker_serving")}) == 4


def test_new_settings_and_new_code_are_in_force_afterwards(site: Site) -> None:
    with serving_site(site) as gateway:
        assert word(gateway) == "first sk-key-one"
        site.module("second")
        site.settings(GATEWAY_API_KEY="sk-key-two", GATEWAY_WORKERS=3)
        gateway.reloaded()
        assert word(gateway) == "second sk-key-two"
        await_that(lambda: len(gateway.workers()) == 3)
        site.settings(GATEWAY_WORKERS=1)
        gateway.reloaded(2)
        assert word(gateway) == "second sk-key-one"
        await_that(lambda: len(gateway.workers()) == 1)


def test_settings_from_yaml_are_read_anew_too(site: Site) -> None:
    config = site.folder / "gateway.yml"
    config.write_text("gateway_workers: 1\n")
    (site.folder / ".env").write_text("GATEWAY_API_KEY=sk-key-one\n")
    with serving_site(site, GATEWAY_CONFIG=str(config)) as gateway:
        assert len(gateway.workers()) == 1
        config.write_text("gateway_workers: 2\n")
        assert gateway.reloaded()["workers"] == 2


def test_a_worker_that_dies_after_a_reload_is_replaced_by_one_with_the_settings_in_force(site: Site) -> None:
    with serving_site(site) as gateway:
        site.settings(GATEWAY_API_KEY="sk-key-two")
        gateway.reloaded()
        await_that(lambda: len(gateway.events("worker_retired")) == 2)
        site.settings(GATEWAY_API_KEY="sk-key-three")
        before = gateway.workers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await_that(lambda: len(gateway.events("worker_serving")) == 6)
        assert not gateway.workers() & before
        assert word(gateway) == "first sk-key-two"


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


def test_a_stop_in_the_midst_of_a_reload_ends_all_of_it(site: Site) -> None:
    done = site.folder / "done"
    with serving_site(site) as gateway, streaming(gateway, done) as stream:
        born = site.folder / "born"
        site.module("second", f"import time; open({str(born)!r}, 'w').close(); time.sleep(3600)")
        gateway.reload()
        await_that(born.exists)
        workers = gateway.workers()
        assert len(workers) == 3
        gateway.process.terminate()
        await_that(gateway.refuses)
        assert next(stream) == "part"
        done.touch()
        assert stream.last() == "the end"
        assert gateway.process.wait(30) == 0
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        assert not gateway.events("worker_died")


def test_a_stop_lets_the_streams_of_retiring_workers_finish_too(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path) as gateway, streaming(gateway, done) as stream:
        gateway.reloaded()
        gateway.process.terminate()
        await_that(gateway.refuses)
        for _ in range(5):
            assert next(stream) == "part"
        done.touch()
        assert stream.last() == "the end"
        assert gateway.process.wait(30) == 0


def test_a_retiring_worker_is_told_to_hurry_when_all_is_to_end(tmp_path: Path) -> None:
    with serving(tmp_path, DRAIN_SECS="0.2") as gateway, streaming(gateway, tmp_path / "never") as stream:
        gateway.reloaded()
        gateway.process.terminate()
        assert stream.last() == "cut off"
        assert gateway.process.wait(30) == 0


def shared_memory(pid: int) -> list[str]:
    """What a process holds of memory without a name: descriptors and mappings."""
    opened = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]  # noqa: PTH115 -- no file has that name
    mapped = [line.split(maxsplit=5)[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    return sorted(name for name in (*opened, *mapped) if "memfd:" in name)


def test_generations_may_overlap_and_each_frees_what_it_held_when_its_last_worker_ends(tmp_path: Path) -> None:
    done = [tmp_path / "first", tmp_path / "second", tmp_path / "third"]
    with serving(tmp_path, METRICS_PORT=str(free_port())) as gateway:
        gateway.ask()
        of_one_generation = shared_memory(gateway.process.pid)
        assert of_one_generation
        with streaming(gateway, done[0]) as first:
            gateway.reloaded()
            with streaming(gateway, done[1]) as second:
                gateway.reloaded(2)
                with streaming(gateway, done[2]) as third:
                    await_that(lambda: len(gateway.workers()) == 4)
                    assert gateway.figure('gateway_workers{state="retiring"}') == 2
                    assert gateway.figure('gateway_workers{state="serving"}') == 2
                    assert len({first.worker, second.worker, third.worker}) == 3
                    for file, stream in zip(done, (first, second, third), strict=True):
                        assert next(stream) == "part"
                        file.touch()
                        assert stream.last() == "the end"
        await_that(lambda: len(gateway.workers()) == 2)
        assert gateway.figure(COUNTER) == 4
        await_that(lambda: shared_memory(gateway.process.pid) == of_one_generation)


def test_reloads_that_are_asked_for_during_one_are_one_more_after_it(site: Site) -> None:
    born, done = site.folder / "born", site.folder / "done"
    with serving_site(site, GATEWAY_WORKERS="1") as gateway:
        site.module("second", until(born, done))
        gateway.reload()
        await_that(born.exists)
        site.module("third")
        for _ in range(5):
            gateway.reload()
        done.touch()
        await_that(lambda: len(gateway.events("reloaded")) == 2)
        assert word(gateway) == "third sk-key-one"
        await_that(lambda: len(gateway.workers()) == 1)
        assert len(gateway.events("reloaded")) == 2


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


def test_figures_are_exact_over_a_reload_under_requests(tmp_path: Path) -> None:
    with serving(tmp_path, METRICS_PORT=str(free_port())) as gateway:
        asked = 0
        gateway.reload()
        while not gateway.events("reloaded"):
            gateway.ask()
            asked += 1
        for _ in range(20):
            gateway.ask()
        await_that(lambda: len(gateway.events("worker_retired")) == 2)
        assert gateway.figure(COUNTER) == asked + 20


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


def test_no_connection_is_lost_that_waits_to_be_taken(tmp_path: Path) -> None:
    with serving(tmp_path, GATEWAY_WORKERS="1") as gateway:
        (old,) = gateway.workers()
        os.kill(old, signal.SIGSTOP)
        with socket.create_connection(gateway.address) as waiting:
            waiting.settimeout(20)
            waiting.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            gateway.reloaded()
            assert b" 200 " in waiting.recv(1000)
        os.kill(old, signal.SIGCONT)
        await_that(lambda: old not in gateway.workers())


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
from gateway.server.edition import Alone, Edition
from gateway.server.supervisor import Supervisor
from gateway.settings import load

def no_companion(page, before):
    raise ZeroDivisionError("in the companion")

async def in_the_companion():
    return Edition(load(), companion=no_companion)

async def in_reading():
    raise ZeroDivisionError("in reading")

async def run():
    answers = [in_the_companion, in_reading]
    async def renew():
        return await (answers.pop(0)() if answers else sound())
    async def sound():
        return Edition(load())
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
        Edition(load()), factory="tests.server.apps:build", renew=renew, directory=Path(sys.argv[1]), on_ready=look
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


def test_the_end_of_its_terminal_ends_the_gateway_as_ever(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        ioctl(theirs, termios.TIOCSCTTY, 0)

    log = tmp_path / "log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
            command("build"),
            cwd=ROOT,
            env=environment(LIMITER_PATH=str(tmp_path)[:80]),
            stdin=theirs,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=take_terminal,  # noqa: PLW1509 -- no thread runs here
        ) as process,
    ):
        os.close(theirs)
        await_that(lambda: b'"listening"' in log.read_bytes())
        os.close(ours)
        assert process.wait(30) == 0
    events = [orjson.loads(line)["event"] for line in log.read_text().splitlines()]
    assert "reloaded" not in events
    assert events[-1] == "stopped"
