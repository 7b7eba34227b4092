"""Tests of the repository itself: what its files say of each other holds."""

import re
import subprocess
from pathlib import Path

import pytest

from gateway.cli.env_file import CHOSEN, FOREIGN, PLACEHOLDER, render
from gateway.settings import names, near_miss

ROOT = Path(__file__).parents[1]
ENTRY = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
COMPOSE_NAME = re.compile(r"\$\{([A-Z][A-Z0-9_]*)")
ABSOLUTE = ("/" + "work/", "/" + "root/")


def tracked() -> list[str]:
    """The files of the repository, by name."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


def test_the_example_is_what_the_settings_say() -> None:
    shown = (ROOT / ".env.example").read_text()
    assert shown == render(CHOSEN), "run: .venv/bin/python scripts/env_example.py"


def test_every_setting_is_in_the_example_and_every_name_in_the_example_is_one() -> None:
    listed = [name for name, _ in ENTRY.findall((ROOT / ".env.example").read_text())]
    assert len(listed) == len(set(listed))
    assert set(listed) == {*names(), *(foreign.name for foreign in FOREIGN)}


def test_the_example_cannot_be_used_without_choosing_keys() -> None:
    stated = dict(re.findall(r"^([A-Z_0-9]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert stated["GATEWAY_API_KEY"] == stated["BACKEND_API_KEY"] == PLACEHOLDER


def test_whatever_compose_reads_is_explained_in_the_example() -> None:
    listed = {name for name, _ in ENTRY.findall((ROOT / ".env.example").read_text())}
    read = {
        name
        for file in [*ROOT.glob("docker-compose*.yml"), *ROOT.glob("compose*.yml")]
        for name in COMPOSE_NAME.findall(file.read_text())
    }
    assert read <= listed


def test_no_name_of_others_is_taken_for_a_slip() -> None:
    assert [foreign.name for foreign in FOREIGN if near_miss(foreign.name)] == []


def test_no_file_names_a_place_of_one_machine_or_a_package_host() -> None:
    hosts = ("files.python" + "hosted.org", "pypi" + ".org", "registry.npm" + "js.org")
    found = [
        f"{name}: {needle}"
        for name in tracked()
        for needle in (*ABSOLUTE, *hosts)
        if needle.encode() in (ROOT / name).read_bytes()
    ]
    assert found == []


def test_every_locked_package_has_a_hash() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        blocks = re.split(r"\n(?=\S)", lock.read_text())
        pinned = [block for block in blocks if re.match(r"[a-z0-9]", block)]
        assert pinned
        assert all("==" in block and "--hash=sha256:" in block for block in pinned), lock.name


def test_what_runs_is_pinned_alike_for_running_and_for_developing() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9][^\s;]*==[^\s;]*)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    assert pins("runtime.lock") <= pins("dev.lock")


def test_nothing_in_the_code_is_left_for_later() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")
    files = [name for name in tracked() if name.endswith((".py", ".sh", ".yml", ".conf"))]
    found = [f"{name}: {word}" for name in files for word in words if word in (ROOT / name).read_text()]
    assert found == []
