"""Tests of docs/tenants.md: each of its commands is run, in its order, at a real gateway before simulated servers."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from gateway.cli import COMMANDS
from gateway.settings import names
from tests.support.gateway import BACKEND_KEY, Gateway, wait_until
from tests.support.simulators import Simulator

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tenants.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
ADMIN_KEY = "admin-0123456789abcdef"
PATIENCE_SECS = 120
NEEDED = [tool for tool in ("curl", "jq") if shutil.which(tool) is None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tenants")


@pytest.fixture(scope="module")
def output(folder: Path) -> str:
    """What the page's commands print, in one shell that ends at the first that fails."""
    if NEEDED:
        pytest.skip(f"the page's commands need {', '.join(NEEDED)}")
    script = "set -euo pipefail\n" + "\n".join(
        f"echo; echo '== {number}'\n{block}" for number, block in enumerate(BLOCKS)
    )
    with Simulator("chat", "--api-key", BACKEND_KEY) as first, Simulator("chat", "--api-key", BACKEND_KEY) as second:
        settings = {
            "CHAT_BACKENDS": f"{first.url},{second.url}",
            "ADMIN_API_KEY": ADMIN_KEY,
            "KEY_HASH_SECRET": "5f0c6a3e9d21b7845f0c6a3e9d21b784",
            "DATA_PATH": folder / "data",
        }
        with Gateway(folder, **settings) as gateway:
            wait_until(gateway.well)
            wait_until(lambda: gateway.events("control_serving"))
            (folder / ".env").write_text(
                f"ADMIN_API_KEY={ADMIN_KEY},another-0123456789abcdef\nGATEWAY_PORT={gateway.port}\n"
            )
            return run(script, folder)


def run(script: str, folder: Path) -> str:
    """Standard output of the script, which knows what `.env` says; its failure is the test's."""
    known = {"GATEWAY_CONFIG", *names()}
    own = {name: value for name, value in os.environ.items() if name not in known}  # noqa: TID251 -- handed on
    path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    result = subprocess.run(  # noqa: S603 -- our own page
        ["bash", "-c", script],  # noqa: S607 -- wherever it is
        cwd=folder,
        env={**own, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECS,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    return result.stdout


def said(output: str, heading: str) -> str:
    """What the blocks under a heading printed."""
    under = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    numbers = [BLOCKS.index(block) for block in re.findall(r"```sh\n(.*?)```", under, re.DOTALL)]
    parts = re.split(r"^== \d+\n", output, flags=re.MULTILINE)[1:]
    return "".join(parts[number] for number in numbers)


@pytest.mark.timeout(PATIENCE_SECS + 60)
def test_every_command_of_the_page_does_what_it_says(output: str) -> None:
    assert output.count("\n== ") == len(BLOCKS)


@pytest.mark.timeout(PATIENCE_SECS + 60)
def test_the_third_request_of_a_quota_of_two_is_refused_with_its_own_word(output: str) -> None:
    lines = said(output, "A quota runs out").splitlines()
    answers = [orjson.loads(line) for line in lines[:3]]
    assert ["choices" in answer for answer in answers] == [True, True, False]
    assert answers[2]["error"]["code"] == "insufficient_quota"
    assert any(re.fullmatch(r"requests per day +2 +2 +0 +.*", line) for line in lines)


@pytest.mark.timeout(PATIENCE_SECS + 60)
def test_both_ways_show_the_same(output: str) -> None:
    models = said(output, "Models and backends")
    assert re.search(r"^coder .*Qwen2.5-Coder", models, re.MULTILINE) is None
    assert '"id":"coder"' in models
    assert re.search(r"^chat1 gets no new requests; 0 in flight$", models, re.MULTILINE)
    assert '"drained":false' in models
    trail = said(output, "Who changed what")
    assert "cache.flush" in trail
    assert "organization.update" in trail


@pytest.mark.timeout(PATIENCE_SECS + 60)
def test_no_key_stands_in_the_log_or_where_the_gateway_keeps_its_data(folder: Path, output: str) -> None:
    keys = set(re.findall(r"gw-[0-9A-Za-z]{38}", output))
    assert keys == set(), "a block that prints one would show it to whoever looks over a shoulder"
    written = [folder / "gateway.log", *(path for path in (folder / "data").iterdir() if path.is_file())]
    assert len(written) > 2
    assert [path for path in written if re.search(rb"gw-[0-9A-Za-z]{38}", path.read_bytes())] == []


def test_every_setting_and_command_that_is_spoken_of_is_one() -> None:
    spoken = set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", PAGE)) - {"ACME_KEY", "GLOBEX_KEY", "GLOBEX_ID", "NEW_KEY"}
    assert spoken - {"NGINX_OPERATORS", "GATEWAY_CONFIG", "SSL_CERT_FILE"} <= set(names())
    commands = set(
        re.findall(r"(?:^|[`(])gateway ([a-z]+)", "\n".join([*BLOCKS, *re.findall(r"`[^`\n]+`", PAGE)]), re.MULTILINE)
    )
    assert commands <= set(COMMANDS)
    assert {"keys", "orgs", "models", "backends", "usage", "quotas", "limits", "state", "cache", "audit"} <= commands
