"""How long no request has run is known over all gateways of a host, over their restarts, and never guessed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.core.records import record_of
from gateway.server.sighting import STALE_SECS, Idleness, Sighting, SightingFile, UnseenError, find, idleness

BOOT = "this boot"
OWNER = """
import sys
from pathlib import Path
from gateway.server.sighting import SightingFile
with SightingFile(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])) as file:
    print(file.active_at, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(folder: Path, now: float, boot: str = BOOT) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that keeps a file until it is told to end, or killed."""
    command = [sys.executable, "-c", OWNER, str(folder), boot, str(now)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 -- our own
        assert process.stdout
        assert process.stdout.readline()
        yield process
        process.kill()


def seen(active_at: float, seen_at: float, running: int = 0, boot: str = BOOT) -> Sighting:
    return Sighting(boot, active_at, seen_at, running)


def test_the_first_gateway_of_a_boot_counts_from_its_own_beginning(tmp_path: Path) -> None:
    with SightingFile(tmp_path / "made" / "here", BOOT, 100.0) as file:
        assert file.active_at == 100.0
        assert idleness(tmp_path / "made" / "here", BOOT, 107.5) == Idleness(7.5, 0, 1)
    assert (tmp_path / "made" / "here").stat().st_mode & 0o777 == 0o700


def test_the_latest_request_of_all_gateways_counts(tmp_path: Path) -> None:
    with SightingFile(tmp_path, BOOT, 0.0) as one, SightingFile(tmp_path, BOOT, 0.0) as two:
        one.tell(seen(active_at=50.0, seen_at=99.5))
        two.tell(seen(active_at=80.0, seen_at=99.0))
        assert idleness(tmp_path, BOOT, 100.0) == Idleness(20.0, 0, 2)


def test_while_one_of_them_has_a_request_none_is_idle(tmp_path: Path) -> None:
    with SightingFile(tmp_path, BOOT, 0.0) as one, SightingFile(tmp_path, BOOT, 0.0) as two:
        one.tell(seen(active_at=1.0, seen_at=100.0))
        two.tell(seen(active_at=100.0, seen_at=100.0, running=2))
        assert idleness(tmp_path, BOOT, 101.0) == Idleness(0.0, 2, 2)


def test_a_restart_is_neither_use_nor_idleness(tmp_path: Path) -> None:
    with SightingFile(tmp_path, BOOT, 0.0) as file:
        file.tell(seen(active_at=10.0, seen_at=70.0))
    with SightingFile(tmp_path, BOOT, 500.0) as file:
        assert file.active_at == 440.0
        assert idleness(tmp_path, BOOT, 501.0).secs == 61.0


def test_one_that_is_added_does_not_begin_anew(tmp_path: Path) -> None:
    with SightingFile(tmp_path, BOOT, 0.0) as one:
        one.tell(seen(active_at=10.0, seen_at=70.0))
        with SightingFile(tmp_path, BOOT, 70.5) as two:
            assert two.active_at == 10.5
            assert idleness(tmp_path, BOOT, 71.0).secs == 60.5


def test_what_ran_when_a_gateway_ended_ran_until_it_was_last_seen(tmp_path: Path) -> None:
    with SightingFile(tmp_path, BOOT, 0.0) as file:
        file.tell(seen(active_at=40.0, seen_at=40.0, running=1))
    with SightingFile(tmp_path, BOOT, 45.0):
        assert idleness(tmp_path, BOOT, 50.0) == Idleness(5.0, 0, 1)


def test_a_new_boot_counts_from_its_own_beginning(tmp_path: Path) -> None:
    with SightingFile(tmp_path, "the boot before", 1.0) as file:
        file.tell(seen(active_at=2.0, seen_at=9.0, boot="the boot before"))
    with SightingFile(tmp_path, BOOT, 20.0) as file:
        assert file.active_at == 20.0


def test_the_files_of_the_dead_go_when_somebody_comes_and_those_of_the_living_stay(tmp_path: Path) -> None:
    with another(tmp_path, 0.0) as killed, SightingFile(tmp_path, BOOT, 0.0):
        killed.kill()
        killed.wait()
        assert [one.alive for one in find(tmp_path)].count(True) == 1
        with SightingFile(tmp_path, BOOT, 5.0):
            assert [one.alive for one in find(tmp_path)] == [True, True]


def test_where_no_gateway_runs_nothing_is_known(tmp_path: Path) -> None:
    with pytest.raises(UnseenError, match="no gateway runs"):
        idleness(tmp_path / "never made", BOOT, 10.0)
    with SightingFile(tmp_path, BOOT, 0.0):
        pass
    with pytest.raises(UnseenError, match="no gateway runs"):
        idleness(tmp_path, BOOT, 10_000.0)


def test_one_that_has_not_looked_makes_all_of_it_unknown(tmp_path: Path) -> None:
    with SightingFile(tmp_path, BOOT, 0.0) as one, SightingFile(tmp_path, BOOT, 0.0) as two:
        one.tell(seen(active_at=0.0, seen_at=1000.0))
        two.tell(seen(active_at=0.0, seen_at=1000.0 - STALE_SECS - 1))
        with pytest.raises(UnseenError, match="has not looked at its workers for 16 s"):
            idleness(tmp_path, BOOT, 1000.0)


@pytest.mark.parametrize("words", [b"", b"\0" * 200, b"not a record of ours at all"])
def test_a_living_gateways_file_that_cannot_be_read_makes_it_unknown(tmp_path: Path, words: bytes) -> None:
    with SightingFile(tmp_path, BOOT, 0.0):
        (path,) = tmp_path.glob("*.seen")
        path.write_bytes(words)
        with pytest.raises(UnseenError, match="cannot be read"):
            idleness(tmp_path, BOOT, 1.0)


def test_a_dead_ones_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "spoilt.seen").write_bytes(b"\0" * 8)
    with SightingFile(tmp_path, BOOT, 3.0) as file:
        assert file.active_at == 3.0
        assert idleness(tmp_path, BOOT, 4.0).secs == 1.0


def test_a_record_of_another_release_is_not_taken_for_one_of_ours(tmp_path: Path) -> None:
    with SightingFile(tmp_path, BOOT, 0.0):
        (path,) = tmp_path.glob("*.seen")
        path.write_bytes(record_of(b'{"boot": "this boot", "moon": "full"}'))
        with pytest.raises(UnseenError, match="cannot be read"):
            idleness(tmp_path, BOOT, 1.0)


def test_a_file_that_was_removed_is_noticed_by_whoever_writes_it(tmp_path: Path) -> None:
    with SightingFile(tmp_path, BOOT, 0.0) as file:
        (path,) = tmp_path.glob("*.seen")
        path.unlink()
        with pytest.raises(FileNotFoundError):
            file.tell(seen(0.0, 1.0))
