"""A page is read by another process at any moment: whole series or none, and every figure whole."""

import mmap
import os
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from gateway.observability import page
from gateway.observability.page import PAGE_BYTES, SHOWN_AT, VALUES_BYTES, PageReader, PageWriter, Series, create_page


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = create_page()
    yield made
    os.close(made)


def test_what_one_writes_another_reads(descriptor: int) -> None:
    writer, reader = PageWriter(descriptor), PageReader(descriptor)
    assert list(reader.read()) == []
    first = writer.add("requests", ("chat", '"\n\u00e9'), 1)
    assert first == 0
    writer.values[0] += 2.5
    assert list(reader.read()) == [Series("requests", ("chat", '"\n\u00e9'), [2.5])]
    second = writer.add("seconds", (), 3)
    assert second == 1
    writer.values[2] += 1.0
    assert list(reader.read())[1] == Series("seconds", (), [0.0, 1.0, 0.0])
    assert list(PageReader(descriptor).read()) == list(reader.read())


def test_a_name_that_is_half_written_is_not_there_yet(descriptor: int) -> None:
    """Whichever part of it another processor sees first."""
    whole = create_page()
    writer = PageWriter(whole)
    writer.add("first", ("a",), 1)
    writer.add("second", ("b", "c"), 2)
    record = os.pread(whole, 100, VALUES_BYTES)
    os.close(whole)
    length = len(record.rstrip(b"\0"))
    reader = PageReader(descriptor)
    for missing in range(length):
        seen = bytearray(record)
        seen[missing : missing + 4] = bytes(4)
        os.pwrite(descriptor, seen, VALUES_BYTES)
        assert len(list(PageReader(descriptor).read())) < 2
        os.pwrite(descriptor, record[:missing] + bytes(100 - missing), VALUES_BYTES)
        assert len(list(reader.read())) < 2
    os.pwrite(descriptor, record, VALUES_BYTES)
    assert [(name, labels, len(values)) for name, labels, values in reader.read()] == [
        ("first", ("a",), 1),
        ("second", ("b", "c"), 2),
    ]


def test_a_page_without_room_for_figures_says_so(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "VALUES", 10)
    writer = PageWriter(descriptor)
    assert writer.add("a", (), 8) == 0
    assert writer.add("b", (), 3) is None
    assert writer.add("c", (), 2) == 8
    assert writer.add("d", (), 1) is None
    assert [series.family for series in PageReader(descriptor).read()] == ["a", "c"]


def test_what_spares_room_leaves_it_to_others(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "VALUES", 10)
    monkeypatch.setattr(page, "SPARE_VALUES", 4)
    writer = PageWriter(descriptor)
    assert writer.add("a", ("of many",), 6, spares=True) == 0
    assert writer.add("a", ("one more",), 1, spares=True) is None
    assert writer.add("b", (), 4) == 6
    assert [series.family for series in PageReader(descriptor).read()] == ["a", "b"]


def test_what_spares_room_for_names_leaves_it_to_others(descriptor: int) -> None:
    writer = PageWriter(descriptor)
    while writer.add("x" * 1000, (), 1, spares=True) is not None:
        pass
    for _ in range(page.SPARE_KEYS_BYTES // 1100):
        assert writer.add("y" * 1000, (), 1) is not None


@pytest.mark.parametrize("length", range(975, 984))
def test_a_page_without_room_for_names_says_so_and_is_read_to_its_end(descriptor: int, length: int) -> None:
    writer = PageWriter(descriptor)
    count = 0
    while writer.add("x" * length, (), 1) is not None:
        count += 1
    assert count > 300
    while writer.add("", (), 1) is not None:
        count += 1
    reader = PageReader(descriptor)
    assert len(list(reader.read())) == count
    assert len(list(reader.read())) == count


def test_the_memory_is_all_there_and_cannot_be_cut(descriptor: int) -> None:
    assert os.fstat(descriptor).st_blocks * 512 >= PAGE_BYTES
    for size in (0, 2 * PAGE_BYTES):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, size)


def test_a_reader_cannot_write(descriptor: int) -> None:
    PageWriter(descriptor).add("a", (), 1)
    memory = PageReader(descriptor)._memory.obj
    assert isinstance(memory, mmap.mmap)
    with pytest.raises(TypeError):
        memory[0] = 1


def test_a_writer_without_a_page_counts_for_nobody() -> None:
    writer = PageWriter()
    assert writer.add("a", (), 1) == 0
    writer.values[0] += 1.0
    assert writer.values[0] == 1


def test_threads_may_name_series_side_by_side(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(words: Any) -> bytes:
        time.sleep(1e-5)  # lets another thread in
        return orjson.dumps(words)

    monkeypatch.setattr(page, "orjson", SimpleNamespace(dumps=slowly, loads=orjson.loads))
    writer = PageWriter(descriptor)

    def work(number: int) -> None:
        for index in range(300):
            slot = writer.add(str(number), (str(index),), 1)
            assert slot is not None
            writer.values[slot] += 1000 * number + index

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [
        Series(str(thread), (str(index),), [1000.0 * thread + index]) for thread in range(4) for index in range(300)
    ]
    assert sorted(PageReader(descriptor).read()) == sorted(expected)


def test_what_is_shown_is_read_whole_or_as_it_was_before(descriptor: int) -> None:
    """Whichever part of it another processor sees first."""
    writer, reader = PageWriter(descriptor), PageReader(descriptor)
    before, after = [Series("queued", ("org:a",), [1.0])], [Series("queued", ("org:b",), [2.0])]
    assert writer.show(before)
    assert list(reader.read()) == before
    old = os.pread(descriptor, 100, SHOWN_AT)
    assert writer.show(after)
    new = os.pread(descriptor, 100, SHOWN_AT)
    for seen in range(len(new)):
        os.pwrite(descriptor, new[:seen] + old[seen:], SHOWN_AT)
        assert list(reader.read()) in (before, after)
    os.pwrite(descriptor, new, SHOWN_AT)
    assert list(reader.read()) == after


def test_a_page_on_which_nothing_is_shown_is_looked_at_once(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[tuple[Any, ...]] = []
    monkeypatch.setattr(page, "words_at", lambda *at: looks.append(at))
    assert list(PageReader(descriptor).read()) == []
    assert [start for _, start, _ in looks].count(SHOWN_AT) == 1
