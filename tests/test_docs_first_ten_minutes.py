"""Tests of docs/first-ten-minutes.md: its commands are the README's, its words the code's, and its times add up."""

import os
import re
from pathlib import Path

import pytest
import yaml

from gateway.cli import COMMANDS
from gateway.settings import names
from tests.monitoring.rules import rules

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "first-ten-minutes.md").read_text()
COMMAND_LINES = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)
COMPOSE_FILES = {
    path.name: yaml.safe_load(path.read_text().replace("!reset", "").replace("!override", ""))
    for path in (ROOT / "docker-compose.yml", ROOT / "docker-compose.monitoring.yml", ROOT / "compose.sim.yml")
}
STEPS = [
    (int(minutes) * 60 + int(seconds), int(took))
    for minutes, seconds, took in re.findall(r"^## .*\((\d+):(\d\d), (\d+) s\)$", PAGE, re.MULTILINE)
]


def test_what_the_readme_says_is_done_in_its_order() -> None:
    section = README.partition("\n## On the GPU host\n")[2]
    block = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[0]
    told = [line.partition("#")[0].strip() for line in block.splitlines()]
    simulated = {".venv/bin/gateway doctor": ".venv/bin/gateway doctor --sim", "make deploy": "make deploy SIM=1"}
    places = [COMMAND_LINES.index(simulated.get(command, command)) for command in told]
    assert places == sorted(places)
    assert len(places) == 7


def test_every_target_of_make_is_one() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {
        target
        for code in [*COMMAND_LINES, *re.findall(r"`([^`\n]+)`", PAGE)]
        for target in re.findall(r"^make ([a-z-]+)", code)
    }
    assert targets == {"install", "demo", "deploy"}
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


def test_every_command_of_the_gateway_is_one() -> None:
    named = {
        command
        for line in COMMAND_LINES
        for command in re.findall(r"gateway gateway ([a-z]+)|bin/gateway ([a-z]+)", line)
    }
    assert {first or second for first, second in named} <= set(COMMANDS)
    assert len(named) > 5


def test_every_script_is_there_and_may_be_run() -> None:
    scripts = {path for line in COMMAND_LINES for path in re.findall(r"(?:^|\s)((?:certs|deploy)/[\w/-]+\.sh)\b", line)}
    assert len(scripts) == 4
    assert [path for path in scripts if not os.access(ROOT / path, os.X_OK)] == []


@pytest.mark.parametrize("line", [line for line in COMMAND_LINES if "docker compose" in line])
def test_composes_files_and_services_are_there(line: str) -> None:
    files = re.findall(r"-f (\S+)", line) or ["docker-compose.yml"]
    assert set(files) <= set(COMPOSE_FILES)
    services = {service for file in files for service in COMPOSE_FILES[file]["services"]}
    _, _, words = re.sub(r"-f \S+ ?|-d ", "", line).partition("docker compose ")
    verb, *rest = words.split()
    named = rest[:1] if verb == "exec" else rest
    assert verb in {"exec", "ps", "up", "down", "stop", "restart"}
    assert set(named) <= services


def test_the_upgrade_and_the_end_name_the_files_of_the_simulation() -> None:
    both = "-f docker-compose.yml -f compose.sim.yml"
    assert f"deploy/upgrade.sh {both}" in COMMAND_LINES
    assert f"docker compose {both} down" in COMMAND_LINES
    assert both.removeprefix("-f ") in README


def test_ports_are_those_that_are_published() -> None:
    published = {
        port.rpartition(":")[2]
        for file in ("docker-compose.yml", "docker-compose.monitoring.yml")
        for service in COMPOSE_FILES[file]["services"].values()
        for port in service.get("ports", ())
    }
    asked = {port for line in COMMAND_LINES for port in re.findall(r"127\.0\.0\.1:(\d+)", line)}
    assert asked == {"9090", "9093"}
    assert asked <= published


@pytest.mark.parametrize(
    ("words", "source"),
    [
        (" is no setting: ", "gateway"),
        ("keep it, it is shown this once.", "gateway"),
        ("keep both; without it no key in the database is known again", "gateway"),
        ("nobody vouches for the certificate", "gateway"),
        ("nothing keeps the clock right", "gateway"),
        ("no request has run for", "gateway"),
        ("This API speaks HTTPS only: set the base URL to https://.", "nginx"),
        ("Every service is healthy. Next:", "scripts"),
        ("restored from", "deploy"),
        ("the old one goes on. What the new one says:", "deploy"),
        ("done, .venv/bin/gateway is the command", "scripts"),
    ],
)
def test_what_was_printed_is_what_is_printed(words: str, source: str) -> None:
    files = [path for path in (ROOT / source).rglob("*") if path.suffix in {".py", ".sh", ".conf"}]
    assert words in PAGE
    assert any(words in path.read_text() for path in files)


def test_alerts_settings_and_codes_are_real_ones() -> None:
    alerts = {rule["alert"] for rule in rules("alerts")}
    assert set(re.findall(r"\b(?:BackendDown|TargetDown)\b", PAGE)) <= alerts
    (target_down,) = [rule for rule in rules("alerts") if rule["alert"] == "TargetDown"]
    assert ("after five minutes" in PAGE, target_down["for"]) == (True, "5m")
    assert set(re.findall(r"`([A-Z][A-Z_]+_IP)=", PAGE)) <= set(names())


def test_the_times_add_up() -> None:
    assert len(STEPS) == 11
    assert STEPS[0][0] == 0
    assert [at + took for at, took in STEPS[:-1]] == [at for at, _ in STEPS[1:]]
    at, took = STEPS[-1]
    assert f"That was {(at + took) // 60}:{(at + took) % 60:02} of machine time." in PAGE


def test_links_lead_somewhere_and_the_readme_leads_here() -> None:
    assert "](docs/first-ten-minutes.md)" in README
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        linked = (ROOT / "docs" / path).resolve()
        linked = linked / "README.md" if linked.is_dir() else linked
        titles = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert not anchor or anchor in anchors, target


def test_it_tells_no_secret_and_no_path_of_the_machine_that_it_was_tried_on() -> None:
    assert re.findall(r"(?:^|[\s\"'=])/(?:tmp|home|root|work|opt|mnt)/", PAGE) == []
    assert re.findall(r"gw-\w{9,}|sk-(?!demo)\w{8,}", PAGE) == []
