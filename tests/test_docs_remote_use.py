"""Tests of docs/remote-use.md and of the pages in deploy/: their commands, units and names are real ones."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.cli import COMMANDS
from gateway.elsewhere import FOREIGN
from gateway.settings import Settings, names
from tests.support.docker import skip_or_fail

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "remote-use.md").read_text()
PAGES = {
    path: path.read_text()
    for path in (ROOT / "docs" / "remote-use.md", ROOT / "docs" / "data.md", *sorted((ROOT / "deploy").glob("*/*.md")))
}
TUNNELS = re.findall(r"^ssh .*$", PAGE, re.MULTILINE)
UNIT = re.search(r"```ini\n(\[Unit\]\nDescription=Tunnel.*?)```", PAGE, re.DOTALL)
OF_OTHERS = {
    "GATEWAY_URL",
    "SSL_CERT_FILE",
    "COMPOSE_FILE",
    "COMPOSE_PROFILES",
    "AWS_REGION",
}


def in_scripts() -> set[str]:
    """The names that the scripts of deploy/ read."""
    text = "".join(path.read_text() for path in (ROOT / "deploy").glob("*/*.sh"))
    return set(re.findall(r'^: "\$\{([A-Z_]+)', text, re.MULTILINE))


@pytest.mark.parametrize("command", TUNNELS)
def test_ssh_understands_a_tunnel_and_it_ends_on_loopback_at_both_sides(command: str) -> None:
    if shutil.which("ssh") is None:
        skip_or_fail("needs ssh, of Debian's package openssh-client")
    words = shlex.split(command.partition("#")[0])
    result = subprocess.run(  # noqa: S603 -- our own page
        [*words[:1], "-G", "-F", "none", *words[1:]], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    understood = dict(line.split(" ", 1) for line in result.stdout.splitlines() if " " in line)
    forwards = re.findall(r"^localforward (.*)$", result.stdout, re.MULTILINE)
    assert forwards
    assert all(re.fullmatch(r"\[127\.0\.0\.1\]:\d+ \[127\.0\.0\.1\]:\d+", forward) for forward in forwards)
    assert understood["hostname"] == "llm.example.org"


def test_there_are_tunnels() -> None:
    assert len(TUNNELS) == 2


def test_systemd_understands_the_tunnels_unit_and_it_is_the_same_tunnel(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        skip_or_fail("needs systemd-analyze, of Debian's package systemd")
    assert UNIT
    unit = tmp_path / "llm-tunnel.service"
    unit.write_text(UNIT[1])
    path = os.environ["PATH"]  # noqa: TID251 -- where it is
    result = subprocess.run(  # noqa: S603 -- fixed words
        ["systemd-analyze", "verify", "--man=no", str(unit)],  # noqa: S607 -- wherever it is
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in (result.stdout + result.stderr).splitlines() if "llm-tunnel" in line]
    assert (result.returncode, ours) == (0, []), result.stderr
    (begins,) = re.findall(r"^ExecStart=/usr/bin/(.*)$", UNIT[1], re.MULTILINE)
    assert begins.replace("-o BatchMode=yes ", "") == TUNNELS[0]


def test_every_name_that_is_spoken_of_is_read_by_somebody() -> None:
    known = {*names(), *(foreign.name for foreign in FOREIGN), *in_scripts(), *OF_OTHERS}
    for path, text in PAGES.items():
        spoken = set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", text)) - {"GATEWAY_CONFIG"}
        assert spoken <= known, path


def test_the_defaults_that_are_told_are_the_scripts() -> None:
    told = {
        name: default
        for text in PAGES.values()
        for name, default in re.findall(r"^\| `([A-Z_]+)` \| `([^`.]+)` \|", text, re.MULTILINE)
    }
    text = "".join(path.read_text() for path in (ROOT / "deploy").glob("*/*.sh"))
    read = dict(re.findall(r'^: "\$\{([A-Z_]+):?=([^$}]*)\}"', text, re.MULTILINE))
    assert {name: read[name] for name in told if name != "BACKUP_POSTGRES"} == told
    assert len(told) >= 4


def test_what_everybody_shares_behind_a_tunnel_is_what_the_settings_say() -> None:
    fields = Settings.model_fields
    subnet = next(foreign.default for foreign in FOREIGN if foreign.name == "EDGE_SUBNET")
    assert subnet == "10.199.0.0/24"
    assert PAGE.count("10.199.0.1") >= 3
    assert (
        f"share {fields['max_rps_per_ip'].default:g} requests a second, {fields['max_inflight_per_ip'].default} slots"
        in PAGE
    )
    connections = next(foreign.default for foreign in FOREIGN if foreign.name == "NGINX_CONNECTIONS_PER_ADDRESS")
    assert f"`NGINX_CONNECTIONS_PER_ADDRESS`, {connections}," in PAGE
    assert "GATEWAY_HOST=127.0.0.1" in PAGE
    assert fields["gateway_host"].default == "127.0.0.1"


def test_every_command_of_ours_is_one() -> None:
    for path, text in PAGES.items():
        spoken = set(re.findall(r"(?:^|gateway |`)gateway ([a-z]+)\b", text, re.MULTILINE))
        assert spoken <= set(COMMANDS), path


def test_what_is_linked_is_there() -> None:
    for path, text in PAGES.items():
        linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text)} - {""}
        assert [target for target in linked if not (path.parent / target).exists()] == [], path
