"""Where a supervisor can be found, by whom, and for how long."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.server.pid_file import Found, Notice, Outcome, PidFile, find

OWNER = """
import sys
from pathlib import Path
from gateway.server.pid_file import Notice, Outcome, PidFile
with PidFile(Path(sys.argv[1]), int(sys.argv[2])) as file:
    file.tell(Notice(3, Outcome.FAILED, ("no room",)))
    print("there", flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner(directory: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds a pid file until it is told to end, or killed."""
    command = [sys.executable, "-c", OWNER, str(directory), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 -- our own
        assert process.stdout
        assert process.stdout.readline() == b"there\n"
        yield process
        process.kill()


def test_who_lives_is_found_by_port_with_what_it_says(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "on the way"
    with owner(directory, 9001) as second, owner(directory, 9000) as first:
        found = find(directory)
        assert [(one.pid, one.port) for one in found] == [(first.pid, 9000), (second.pid, 9001)]
        assert found[0].notice() == Notice(3, Outcome.FAILED, ("no room",))
        assert (directory / "gateway-9000.pid").read_text() == f"{first.pid}\n"
        assert directory.stat().st_mode & 0o777 == 0o700


def test_who_was_killed_is_not_found_and_its_place_is_free(tmp_path: Path) -> None:
    with owner(tmp_path, 9000) as process:
        process.kill()
        process.wait()
        assert (tmp_path / "gateway-9000.pid").exists()
        assert find(tmp_path) == []
    with PidFile(tmp_path, 9000):
        assert (tmp_path / "gateway-9000.pid").exists()


def test_who_ends_leaves_nothing(tmp_path: Path) -> None:
    with PidFile(tmp_path, 9000) as file:
        file.tell(Notice(1, Outcome.DONE))
    assert list(tmp_path.iterdir()) == []
    assert find(tmp_path) == []


def test_two_gateways_of_one_port_are_told_apart_by_the_lock(tmp_path: Path) -> None:
    with owner(tmp_path, 9000) as process:
        with pytest.raises(BlockingIOError), PidFile(tmp_path, 9000):
            pass
        assert [one.pid for one in find(tmp_path)] == [process.pid]
        assert find(tmp_path)[0].notice().reloads == 3


def test_a_directory_that_is_not_there_has_nobody(tmp_path: Path) -> None:
    assert find(tmp_path / "nowhere") == []


def test_what_is_said_is_there_whole_at_any_moment(tmp_path: Path) -> None:
    """Who reads while another notice is written has the old one to its end: it is replaced, and not written over."""
    with PidFile(tmp_path, 9000) as file:
        file.tell(Notice(1, Outcome.REFUSED, ("no room",)))
        with (tmp_path / "gateway-9000.reload").open("rb") as reading:
            file.tell(Notice(2, Outcome.DONE))
            assert b"no room" in reading.read()
        assert Found(0, 9000, tmp_path / "gateway-9000.pid").notice() == Notice(2, Outcome.DONE)
