"""SIGHUP replaces the workers: real processes, whose settings and code change on disk."""

import os
import pty
import signal
import socket
import subprocess
import termios
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path

import orjson
import pytest

from tests.server.site import Site, serving_site, until, word
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


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def opened(pid: int) -> list[str]:
    """What a process has open, by the kernel's names; it may close some of it meanwhile."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(os.readlink(path))  # noqa: PTH115 -- no file has that name
    return found


def takes_connections(gateway: Gateway, pid: int) -> bool:
    """Whether a worker has the listening socket open: one that retires does until it has heard of it."""
    port = f":{gateway.address[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == "0A"}
    return not listening.isdisjoint(opened(pid))


def test_new_workers_serve_and_the_streams_of_the_old_ones_go_on_to_their_end(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path) as gateway:
        with streaming(gateway, done) as stream:
            before = gateway.workers()
            event = gateway.reloaded()
            assert (event["event"], event["workers"], event["retiring"]) == ("reloaded", 2, 2)
            (other,) = before - {stream.worker}
            await_that(lambda: other not in gateway.workers())
            await_that(lambda: not takes_connections(gateway, stream.worker))
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


def test_how_many_workers_there_are_to_be_is_shown_as_it_is_in_force(site: Site) -> None:
    with serving_site(site, METRICS_PORT=str(free_port())) as gateway:
        assert gateway.figure("gateway_workers_configured") == 2
        site.settings(GATEWAY_WORKERS=1)
        gateway.reloaded()
        assert gateway.figure("gateway_workers_configured") == 1
        site.settings(GATEWAY_WORKERS=3)
        site.module("broken", "raise SystemExit(1)")
        gateway.reload()
        await_that(lambda: gateway.events("not_reloaded"))
        assert gateway.figure("gateway_workers_configured") == 1


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
    mapped = [line.split(maxsplit=5)[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    return sorted(name for name in (*opened(pid), *mapped) if "memfd:" in name)


def test_generations_may_overlap_and_each_frees_what_it_held_when_its_last_worker_ends(tmp_path: Path) -> None:
    done = [tmp_path / "first", tmp_path / "second", tmp_path / "third"]
    with serving(tmp_path, METRICS_PORT=str(free_port())) as gateway:
        gateway.ask()
        await_that(lambda: len(gateway.events("worker_serving")) == 2)
        of_one_generation = shared_memory(gateway.process.pid)
        assert of_one_generation
        with streaming(gateway, done[0]) as first:
            gateway.reloaded()
            await_that(lambda: not takes_connections(gateway, first.worker))
            with streaming(gateway, done[1]) as second:
                gateway.reloaded(2)
                await_that(lambda: not takes_connections(gateway, second.worker))
                with streaming(gateway, done[2]) as third:
                    await_that(lambda: len(gateway.workers()) == 4)
                    await_that(lambda: gateway.figure('gateway_workers{state="retiring"}') == 2)
                    assert gateway.figure('gateway_workers{state="serving"}') == 2
                    assert len({first.worker, second.worker, third.worker}) == 3
                    for file, stream in zip(done, (first, second, third), strict=True):
                        assert next(stream) == "part"
                        file.touch()
                        assert stream.last() == "the end"
        await_that(lambda: len(gateway.workers()) == 2)
        await_that(lambda: shared_memory(gateway.process.pid) == of_one_generation)
        assert gateway.figure(COUNTER) == 4


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
            env=environment(LIMITER_PATH=str(tmp_path)[:80], DATA_PATH=str(tmp_path / "data")),
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
