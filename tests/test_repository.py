"""Tests of the repository itself: what its files say of each other holds."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from gateway.cli.env_file import CHOSEN, PLACEHOLDER, render
from gateway.elsewhere import COMPOSE_SETS, CONTAINERS_ONLY, FOREIGN
from gateway.settings import names, slip_in_environment, slip_in_file
from scripts import settings_pages

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
    assert shown == render(CHOSEN), "run: .venv/bin/python scripts/settings_pages.py"


def test_the_configuration_page_is_what_the_settings_say() -> None:
    assert settings_pages.PAGE.read_text() == settings_pages.page(), "run: .venv/bin/python scripts/settings_pages.py"


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


def read_in_containers() -> set[str]:
    """The names that Compose gives to a container, and those that nginx' entrypoint reads."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    given = {name for service in compose["services"].values() for name in service.get("environment", {})}
    return given | set(re.findall(r"^setting ([A-Z_]+) ", (ROOT / "nginx" / "entrypoint.sh").read_text(), re.MULTILINE))


def test_no_name_of_others_is_taken_for_a_slip() -> None:
    others = {foreign.name for foreign in FOREIGN} | read_in_containers()
    assert len(others) > len(FOREIGN) + 15
    assert [name for name in others if slip_in_environment(name) or slip_in_file(name)] == []


def test_what_only_containers_read_is_listed_once_and_still_read() -> None:
    assert set(CONTAINERS_ONLY) == read_in_containers() - {*names(), *(foreign.name for foreign in FOREIGN)}


def test_the_settings_that_compose_gives_to_the_gateway_itself_are_known() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    given = compose["services"]["gateway"]["environment"]
    # ${NAME:-default} under the same name hands on what the operator set.
    own = {name for name, value in given.items() if name in names() and not str(value).startswith("${" + name)}
    assert set(COMPOSE_SETS) == own


def test_the_example_says_that_the_demo_reads_the_environment_only() -> None:
    shown = (ROOT / ".env.example").read_text()
    for name in ("DEMO_PORT", "DEMO_KEY"):
        assert re.search(rf"^# .*environment only.*\n#{name}=", shown, re.MULTILINE)


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


def imported(file: Path) -> set[str]:
    """The packages that a file imports, by the first part of their names."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in plain | named}


def test_what_the_tests_import_is_asked_for_by_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = (
        *project["project"]["dependencies"],
        *(name for group in ("dev", "bench", "dashboards") for name in groups[group]),
    )
    declared = {re.split(r"[^A-Za-z0-9-]", line)[0].replace("-", "_") for line in wanted}
    distributions = {"yaml": "pyyaml", "dotenv": "python_dotenv", "opentelemetry": "opentelemetry_proto"}
    # What lies in real_vllm runs in the environment that its own up.sh makes.
    files = [name for name in tracked() if re.match(r"tests/(?!real_vllm/).*\.py$", name)]
    used = {name for file in files for name in imported(ROOT / file)}
    strangers = used - set(sys.stdlib_module_names) - {"gateway", "tests", "bench", "loadtest", "monitoring", "scripts"}
    assert {distributions.get(name, name) for name in strangers} - declared == set()


def test_nothing_in_the_code_is_left_for_later() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")
    files = [name for name in tracked() if name.endswith((".py", ".sh", ".yml", ".conf"))]
    found = [f"{name}: {word}" for name in files for word in words if word in (ROOT / name).read_text()]
    assert found == []
