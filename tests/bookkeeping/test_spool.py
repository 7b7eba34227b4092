"""What waits for the database outlives its process, and what was half written does not."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.bookkeeping.spool import FILE, HEAD, Batch, Spool
from gateway.core.usage_sheet import Sheet

ONE = Batch("journal", "epoch", 1.0, [Sheet(b"j1", b"first"), Sheet(b"j2", b"second")])
TWO = Batch("journal", "epoch", 2.0, [Sheet(b"j3", b"third")])
THREE = Batch("another", "another", 3.0, [Sheet(b"j1", b"x" * 10_000)])


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path)
    made.open()
    yield made
    made.close()


def again(spool: Spool, folder: Path) -> Spool:
    """The same file in the next process."""
    spool.close()
    found = Spool(folder)
    found.open()
    return found


def everything(spool: Spool) -> list[Batch]:
    found = []
    while (frame := spool.first()) is not None:
        found.append(frame.batch)
        spool.drop(frame)
    return found


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may become longer than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_batches_come_back_in_their_order_and_then_the_file_is_empty(spool: Spool, tmp_path: Path) -> None:
    assert spool.empty
    for batch in (ONE, TWO, THREE):
        spool.append(batch)
    assert not spool.empty
    assert everything(spool) == [ONE, TWO, THREE]
    assert spool.empty
    assert (tmp_path / FILE).stat().st_size == 0


def test_the_next_process_finds_what_was_not_dropped_and_what_was_as_well(spool: Spool, tmp_path: Path) -> None:
    for batch in (ONE, TWO):
        spool.append(batch)
    frame = spool.first()
    assert frame is not None
    spool.drop(frame)
    assert everything(again(spool, tmp_path)) == [ONE, TWO]  # the ledger passes over what it has


def test_a_batch_that_was_half_written_is_cut_off(spool: Spool, tmp_path: Path) -> None:
    spool.append(ONE)
    whole = (tmp_path / FILE).stat().st_size
    spool.append(THREE)
    os.truncate(tmp_path / FILE, whole + 5000)
    found = again(spool, tmp_path)
    assert found.cut == 5000
    assert (tmp_path / FILE).stat().st_size == whole
    found.append(TWO)
    assert everything(found) == [ONE, TWO]


def test_a_batch_that_the_disk_has_spoilt_hides_none_behind_it(spool: Spool, tmp_path: Path) -> None:
    for batch in (ONE, TWO, THREE):
        spool.append(batch)
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(HEAD.size + 2)
        file.write(b"\xff\xff")
    assert everything(again(spool, tmp_path)) == [TWO, THREE]


def test_a_disk_that_is_full_leaves_the_file_as_it_was(spool: Spool) -> None:
    spool.append(ONE)
    with disk_of(4096), pytest.raises(OSError, match="File too large"):
        spool.append(THREE)
    spool.append(TWO)
    assert everything(spool) == [ONE, TWO]


def test_gateways_that_share_the_folder_have_a_file_each(spool: Spool, tmp_path: Path) -> None:
    other = Spool(tmp_path)
    other.open()
    spool.append(ONE)
    other.append(TWO)
    assert (everything(spool), everything(other)) == ([ONE], [TWO])
    other.close()


def test_what_a_gateway_left_that_shared_the_folder_is_taken_once_and_of_the_living_nothing(
    spool: Spool, tmp_path: Path
) -> None:
    other, third = Spool(tmp_path), Spool(tmp_path)
    for one, batch in ((spool, ONE), (other, TWO), (third, THREE)):
        one.open()
        one.append(batch)
    spool.adopt()
    other.close()
    spool.adopt()
    spool.adopt()
    assert everything(spool) == [ONE, TWO]
    assert everything(third) == [THREE]
    third.close()


def test_a_file_that_cannot_be_had_keeps_none_behind_it(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{FILE}.2").mkdir()
    left = tmp_path / f"{FILE}.3"
    spool.append(ONE)
    left.write_bytes((tmp_path / FILE).read_bytes())
    spool.adopt()
    assert everything(spool) == [ONE, ONE]


def test_what_the_disk_does_not_take_stays_where_it_was(spool: Spool, tmp_path: Path) -> None:
    other = Spool(tmp_path)
    other.open()
    other.append(THREE)
    other.close()
    spool.append(ONE)
    with disk_of(4096), pytest.raises(OSError, match="File too large"):
        spool.adopt()
    spool.adopt()
    assert everything(spool) == [ONE, THREE]


def test_what_is_not_on_the_disk_yet_stays_where_it_was(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Spool(tmp_path)
    other.open()
    other.append(TWO)
    other.close()
    before = (tmp_path / f"{FILE}.1").read_bytes()

    def fail(_: int) -> None:
        raise OSError("Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        for write in (spool.adopt, lambda: spool.append(ONE)):
            with pytest.raises(OSError, match="Input/output"):
                write()
            assert spool.empty
    assert (tmp_path / f"{FILE}.1").read_bytes() == before
    spool.adopt()
    assert everything(spool) == [TWO]


def test_a_folder_in_which_each_file_has_a_gateway_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.bookkeeping.spool.NAMES", (FILE,))
    first, second = Spool(tmp_path), Spool(tmp_path)
    first.open()
    with pytest.raises(OSError, match="each of 1 files"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_nobody_else_may_read_it(spool: Spool, tmp_path: Path) -> None:
    spool.append(ONE)
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
