"""Tests of bench/peers.py and bench/locks: how the peers are found, configured and pinned."""

import re
from pathlib import Path

import orjson
import pytest

from bench.peers import EMBED_MODEL, KEY, MODEL, PEERS, SCALING, Surroundings

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "bench" / "locks").glob("*.lock"))


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    """Virtual environments in which every peer seems to be installed."""
    for peer, program in (
        ("vllm-router", "vllm-router"),
        ("sglang-router", "sglang-router"),
        ("production-stack", "vllm-router"),
        ("litellm", "litellm"),
        ("nginx", "nginx"),
    ):
        (tmp_path / peer / "bin").mkdir(parents=True)
        (tmp_path / peer / "bin" / program).touch()
    return Surroundings(folder=tmp_path, state=tmp_path, venvs=tmp_path, upstream=9000, workers=3)


def test_a_peer_in_the_folder_of_environments_is_found(around: Surroundings) -> None:
    for name, find in PEERS.items():
        peer = find(around)
        assert peer is not None, name
        if name not in {"direct", "gateway"}:
            assert peer.argv[0].startswith(str(around.venvs / name)), name


def test_the_production_stack_is_not_mistaken_for_the_rust_router_of_the_same_name(around: Surroundings) -> None:
    (around.venvs / "production-stack" / "bin" / "vllm-router").unlink()
    assert PEERS["production-stack"](around) is None


def test_those_that_can_have_several_workers_are_told_how_many(around: Surroundings) -> None:
    for name in SCALING:
        peer = PEERS[name](around)
        assert peer is not None
        said = " ".join(peer.argv)
        if name == "nginx":
            said = (around.folder / "nginx.conf").read_text()
        assert re.search(r"work\w* 3\b", said), name


def test_litellm_knows_both_models_and_the_key(around: Surroundings) -> None:
    assert PEERS["litellm"](around) is not None
    written = orjson.loads((around.folder / "litellm.yaml").read_bytes())
    assert [model["model_name"] for model in written["model_list"]] == [MODEL, EMBED_MODEL]
    assert written["general_settings"]["master_key"] == KEY


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_peer_is_pinned_with_a_hash_for_every_file(lock: Path) -> None:
    blocks = [block for block in re.split(r"\n(?=\S)", lock.read_text()) if block.strip()]
    assert all("==" in block and "--hash=sha256:" in block for block in blocks)
    assert any(block.startswith((f"{lock.stem}==", f"{lock.stem}[")) for block in blocks)


def test_every_lock_belongs_to_a_peer() -> None:
    assert {lock.stem for lock in LOCKS} <= set(PEERS)
    assert len(LOCKS) == 3
