"""Lines reach the files whole, in files of a bounded size, whoever else writes there and whatever fails."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.audit.files import AuditFiles

LINE = b"x" * 99 + b"\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "audit"


@pytest.fixture
def files(folder: Path) -> Iterator[AuditFiles]:
    made = AuditFiles(folder, max_bytes=1000, count=3)
    yield made
    made.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.jsonl")}


def test_a_full_file_makes_room_for_the_next_and_the_oldest_goes(files: AuditFiles, folder: Path) -> None:
    for number in range(40):
        assert files.write([b"%098d\n" % number]) == (1, None)
    kept = contents(folder)
    assert max(map(len, kept.values())) <= 1000
    lines = (kept["audit.2.jsonl"] + kept["audit.1.jsonl"] + kept["audit.jsonl"]).splitlines()
    assert [int(line) for line in lines] == list(range(40 - len(lines), 40))
    assert len(lines) > 20


def test_lines_that_come_together_are_spread_over_as_many_files_as_they_need(files: AuditFiles, folder: Path) -> None:
    files.write([LINE])
    assert files.write([LINE] * 25) == (25, None)
    assert {name: len(data) for name, data in contents(folder).items()} == {
        "audit.jsonl": 600,
        "audit.1.jsonl": 1000,
        "audit.2.jsonl": 1000,
    }


def test_a_line_longer_than_a_file_has_one_of_its_own(files: AuditFiles, folder: Path) -> None:
    long = b"y" * 5000 + b"\n"
    assert files.write([long, LINE]) == (2, None)
    assert contents(folder) == {"audit.jsonl": LINE, "audit.1.jsonl": long}


def test_one_file_alone_begins_anew(folder: Path) -> None:
    files = AuditFiles(folder, max_bytes=1000, count=1)
    for _ in range(25):
        files.write([LINE])
    files.close()
    assert contents(folder) == {"audit.jsonl": LINE * 5}


def test_files_beyond_a_lowered_count_go_with_the_next_that_is_full(files: AuditFiles, folder: Path) -> None:
    files.write([LINE] * 30)
    fewer = AuditFiles(folder, max_bytes=1000, count=1)
    fewer.write([LINE])
    assert set(contents(folder)) == {"audit.jsonl"}
    fewer.close()


def test_all_that_is_made_is_this_users_alone(files: AuditFiles, folder: Path) -> None:
    files.write([LINE])
    (folder / "audit.jsonl").chmod(0o666)
    other = AuditFiles(folder, max_bytes=1000, count=3)
    other.write([LINE])
    other.close()
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_torn_line_ends_before_the_next(files: AuditFiles, folder: Path) -> None:
    files.write([LINE])
    with (folder / "audit.jsonl").open("ab") as torn:
        torn.write(b'{"half')
    files.write([LINE])
    assert contents(folder)["audit.jsonl"] == LINE + b'{"half\n' + LINE


def test_a_link_is_not_followed(files: AuditFiles, folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    target = tmp_path / "precious"
    target.write_bytes(b"kept")
    (folder / "audit.jsonl").symlink_to(target)
    written, failure = files.write([LINE])
    assert written == 0
    assert isinstance(failure, OSError)
    assert target.read_bytes() == b"kept"


@pytest.mark.parametrize("what", ["file", "lock", "folder"])
def test_what_was_removed_is_made_again_and_no_line_is_lost(files: AuditFiles, folder: Path, what: str) -> None:
    files.write([LINE])
    if what == "folder":
        folder.rename(folder.with_name("elsewhere"))
    else:
        (folder / {"file": "audit.jsonl", "lock": "lock"}[what]).unlink()
    assert files.write([LINE]) == (1, None)
    assert contents(folder)["audit.jsonl"].endswith(LINE)


FULL = """
import resource, signal, sys
from pathlib import Path
from gateway.audit.files import AuditFiles
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
files = AuditFiles(Path(sys.argv[1]), max_bytes=10**6, count=2)
files.write([b"a" * 99 + b"\\n"] * 3)
resource.setrlimit(resource.RLIMIT_FSIZE, (350, 350))
written, failure = files.write([b"b" * 99 + b"\\n"])
print(written, type(failure).__name__)
"""


def test_where_there_is_no_room_for_all_of_a_line_none_of_it_stays(folder: Path) -> None:
    ran = subprocess.run(  # noqa: S603 -- this interpreter
        [sys.executable, "-c", FULL, str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "0 OSError\n"
    assert contents(folder)["audit.jsonl"] == (b"a" * 99 + b"\n") * 3


WRITER = """
import sys
from pathlib import Path
from gateway.audit.files import AuditFiles
files = AuditFiles(Path(sys.argv[1]), max_bytes=20_000, count=50)
for number in range(300):
    files.write([b"%b %d %b\\n" % (sys.argv[2].encode(), number, sys.argv[2].encode() * 100)] * 2)
"""


def test_processes_that_write_at_once_break_no_line_and_lose_none(folder: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name])  # noqa: S603 -- this interpreter
        for name in "abc"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    seen: dict[bytes, list[int]] = {}
    for number in reversed(range(50)):
        file = folder / (f"audit.{number}.jsonl" if number else "audit.jsonl")
        if not file.exists():
            continue
        assert file.stat().st_size <= 20_000
        for line in file.read_bytes().splitlines():
            name, count, rest = line.split(b" ")
            assert rest == name * 100
            seen.setdefault(name, []).append(int(count))
    assert seen == {name: sorted([*range(300), *range(300)]) for name in (b"a", b"b", b"c")}


def test_who_waits_for_the_lock_goes_on_when_its_holder_is_gone(files: AuditFiles, folder: Path) -> None:
    files.write([LINE])
    holder = os.open(folder / "lock", os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    done = threading.Event()

    def write() -> None:
        files.write([LINE])
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    os.close(holder)  # as when its process dies
    assert done.wait(30)
    thread.join()
    assert contents(folder)["audit.jsonl"] == LINE * 2
