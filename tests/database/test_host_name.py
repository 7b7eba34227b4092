"""A host has one name, which outlives its processes."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.database.host_name import FILE, find_or_make


def test_the_first_to_ask_makes_the_name_of_all(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(find_or_make, [folder] * 32))
    assert len(names) == 1
    assert names == {find_or_make(folder)}
    assert [file.name for file in folder.iterdir()] == [FILE]


def test_two_hosts_have_two_names(tmp_path: Path) -> None:
    assert find_or_make(tmp_path / "one") != find_or_make(tmp_path / "other")


def test_where_nothing_can_be_kept_it_is_the_systems(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    assert find_or_make(tmp_path / "data") == socket.gethostname()
