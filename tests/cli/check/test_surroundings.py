"""Tests of what `gateway check` says of where it runs: what was read, what is too small, and what is elsewhere."""

from pathlib import Path
from typing import Any

import pytest

from gateway.cli.check.surroundings import told, unfit
from gateway.settings import Settings, load

UNWRITABLE = Path("/proc/nobody/writes/here")
"""Not even root does."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty, with no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    return tmp_path


def settings(**others: Any) -> Settings:
    required = {
        "gateway_api_key": ["sk-of-a-test"],
        "backend_api_key": "key-of-a-test",
        "chat_backends": ("http://a:1",),
    }
    return load(None, **{**required, **others})


def test_it_is_said_what_was_read(folder: Path) -> None:
    assert told() == [f"Read from the environment. There is no .env in {folder}."]
    (folder / ".env").write_text("GATEWAY_CONFIG=my.yml\n")
    assert told() == [f"Read from the environment and {folder}/.env and {folder}/my.yml (GATEWAY_CONFIG)."]


def test_in_a_container_it_is_said_what_is_not_there_and_where_to_ask(folder: Path) -> None:
    mark = folder / "mark"
    assert len(told(str(mark))) == 1
    mark.touch()
    words = " ".join(told(str(mark)))
    assert words.startswith("Read from the environment. This runs in a container,")
    assert "run `gateway check` in the checkout on the host" in words
    assert "There is no .env" not in words


def test_a_checkout_in_a_container_is_a_checkout(folder: Path) -> None:
    for name in ("mark", "docker-compose.yml"):
        (folder / name).touch()
    assert len(told(str(folder / "mark"))) == 1


def test_where_a_gateway_could_keep_its_files_there_is_nothing_to_say(folder: Path) -> None:
    assert unfit(settings(data_path=folder / "data", limiter_path=folder / "limits")) == []


def test_a_folder_that_cannot_be_written_is_named_with_what_comes_of_it(folder: Path) -> None:
    (data,) = unfit(settings(data_path=UNWRITABLE, limiter_path=folder))
    assert data.startswith(f"DATA_PATH {UNWRITABLE} cannot be written here (")
    assert data.endswith("): keys and usage would have no place")
    (limits,) = unfit(settings(data_path=folder, limiter_path=UNWRITABLE))
    assert limits.endswith("): a gateway would not start")


def test_memory_that_is_too_small_for_what_is_set_aside_there_is_told(folder: Path) -> None:
    (words,) = unfit(settings(data_path=folder, limiter_path=folder, cache_max_bytes=2**60))
    assert words.startswith(f"LIMITER_PATH {folder} has ")
    assert "shm_size" in words
    alone = {"limiter_store": "memory", "gateway_workers": 1}
    for fits in ({"cache_ttl_secs": 0}, alone):
        assert unfit(settings(data_path=folder, limiter_path=folder, cache_max_bytes=2**60, **fits)) == []


def test_of_the_host_of_a_container_no_folder_is_judged(folder: Path) -> None:
    (folder / "docker-compose.yml").touch()
    assert unfit(settings(data_path=UNWRITABLE, limiter_path=folder)) == []
