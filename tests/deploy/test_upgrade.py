"""An upgrade ends with as many gateways as there were: all of the new image, or all of the old one."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import wait_until

ROOT = Path(__file__).parents[2]
ENGINE = Path(__file__).with_name("engine.py")
PATIENCE_SECS = 60


class Host:
    """A host whose Docker is files, with gateways of the revision `old` and a build that makes `new`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = folder / "engine"
        self.script = folder / "deploy" / "upgrade.sh"
        programs = folder / "programs"
        for place in (self.engine, programs, self.script.parent):
            place.mkdir()
        shutil.copy(ROOT / "deploy" / "upgrade.sh", self.script)
        (folder / "docker-compose.yml").touch()
        (programs / "docker").write_text(f'#!/bin/sh\nexec {sys.executable} {ENGINE} "$@"\n')
        (programs / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.1\n")  # nobody is asked by address here
        for program in programs.iterdir():
            program.chmod(0o755)
        path = os.environ["PATH"]  # noqa: TID251 -- where bash finds its tools
        self.environment = {
            "PATH": f"{programs}:{path}",
            "CONTAINERS": str(self.engine),
            "READY_SECS": "0",
        }
        self.started: list[subprocess.Popen[str]] = []
        self.says("revision", "new")

    def says(self, name: str, words: str) -> None:
        """What engine.py goes by."""
        (self.engine / name).write_text(words)

    def runs(self, *revisions: str, status: str = "running") -> None:
        """Containers that are there before."""
        for revision in revisions:
            self.says(f"c{len(list(self.engine.glob('c*')))}", f"{revision} {status}")

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Begin one; signals do what they do at a terminal, though whoever runs the tests may ignore some of them."""
        running = subprocess.Popen(  # noqa: S603 -- our own script
            ["/usr/bin/env", "--default-signal=HUP,INT,TERM", self.script],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(running)
        return running

    def upgrade(self, **environment: str) -> tuple[int, str]:
        """Its exit status and what it complained of."""
        running = self.start(**environment)
        _, complaint = running.communicate(timeout=PATIENCE_SECS)
        return running.returncode, complaint

    @property
    def containers(self) -> list[str]:
        """Revision and status of each."""
        return [path.read_text() for path in sorted(self.engine.glob("c*"))]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """One on which nothing goes on after its test."""
    made = Host(tmp_path)
    yield made
    for running in made.started:
        running.kill()
        running.communicate()


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_new_ones_take_the_place_of_the_old_ones(host: Host, count: int) -> None:
    host.runs(*["old"] * count)
    assert host.upgrade() == (0, "")
    assert host.containers == ["new running"] * count


@pytest.mark.parametrize("count", [1, 3])
def test_an_image_that_does_not_answer_leaves_what_was_there(host: Host, count: int) -> None:
    host.runs(*["old"] * count)
    host.says("mute", "new")
    status, complaint = host.upgrade()
    assert (status, "does not answer at /ready" in complaint) == (1, True)
    assert host.containers == ["old running"] * count


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_breaks_it_off_leaves_what_was_there(host: Host, by: signal.Signals) -> None:
    host.runs("old", "old")
    host.says("mute", "new")
    running = host.start(READY_SECS="600")
    wait_until(lambda: len(host.containers) == 4, PATIENCE_SECS)
    running.send_signal(by)
    running.communicate(timeout=PATIENCE_SECS)
    assert running.returncode == 128 + by
    assert host.containers == ["old running"] * 2


def test_a_docker_that_fails_half_way_leaves_what_was_there(host: Host) -> None:
    host.runs("old")
    host.says("fails", "compose-up")
    assert host.upgrade()[0] != 0
    assert host.containers == ["old running"]


def test_new_ones_that_docker_does_not_show_are_none_to_end_the_old_ones_for(host: Host) -> None:
    host.runs("old", "old")
    host.says("idles", "compose-up")
    status, complaint = host.upgrade()
    assert (status, "shows 0 new gateways instead of 2" in complaint) == (1, True)
    assert host.containers == ["old running"] * 2


def test_what_an_upgrade_that_was_broken_off_has_stopped_is_not_started_again(host: Host) -> None:
    host.runs("old", status="exited")
    host.runs("old")
    assert host.upgrade() == (0, "")
    assert host.containers == ["new running"]


def test_what_is_left_of_the_old_ones_is_named_when_docker_fails_at_their_end(host: Host) -> None:
    host.runs("old", "old")
    host.says("fails", "stop")
    status, complaint = host.upgrade()
    assert (status != 0, "docker rm c0 c1" in complaint) == (True, True)
    assert host.containers.count("new running") == 2


def test_two_at_a_time_would_take_each_others_gateways_for_old_ones(host: Host) -> None:
    host.runs("old")
    host.says("mute", "new")
    first = host.start(READY_SECS="600")
    wait_until(lambda: len(host.containers) == 2, PATIENCE_SECS)
    assert host.upgrade() == (1, "upgrade: another one is at work here\n")
    first.terminate()
    first.communicate(timeout=PATIENCE_SECS)
    assert host.containers == ["old running"]


def test_where_none_runs_there_is_nothing_to_upgrade(host: Host) -> None:
    status, complaint = host.upgrade()
    assert (status, "no gateway runs" in complaint, host.containers) == (1, True, [])
