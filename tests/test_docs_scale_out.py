"""Tests of docs/scale-out.md: what it names is there, its figures are the command's, and its commands run."""

import re
import shlex
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.elsewhere import ELSEWHERE
from gateway.settings import Settings, names
from tests.deploy.kustomize import KUBERNETES, SECRETS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "scale-out.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
NOT_OURS = {"VALKEY_PASSWORD", "POSTGRES_PASSWORD"}
"""Of the Secret, read by manifests."""


def capacity(*arguments: str) -> str:
    asked = CliRunner().invoke(main, ["capacity", *arguments])
    assert asked.exit_code == 0, asked.output
    return asked.output


def test_every_setting_that_it_names_is_one() -> None:
    named = set(re.findall(r"\b([A-Z]{2,}(?:_[A-Z]+)+)\b", PAGE))
    assert len(named) > 15
    assert named - {*names(), *ELSEWHERE, *NOT_OURS} == set()


def test_every_file_and_heading_that_it_links_to_is_there() -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", PAGE):
        page = DOCS / target if target else DOCS / "scale-out.md"
        assert page.exists(), target
        headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_its_table_of_folders_is_the_folder() -> None:
    rows = re.findall(r"^\| ((?:`[a-z/-]+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`([a-z][^`]+)`", row)}
    found = {str(file.parent.relative_to(KUBERNETES)) for file in KUBERNETES.rglob("kustomization.yaml")}
    assert listed == found


def test_its_commands_for_capacity_run() -> None:
    lines = [line for block in BLOCKS for line in block.splitlines() if line.startswith("gateway capacity ")]
    assert len(lines) == 2
    for line in lines:
        capacity(*shlex.split(line)[2:])


@pytest.mark.parametrize("dtype", ["fp8", "bf16"])
def test_its_figures_are_what_the_command_computes(dtype: str) -> None:
    row = re.search(rf"^\| {dtype}[^|]*\| ([\d,.]+) \| ([\d,.]+) \| ([\d,.]+) \| ([\d,.]+) \|$", PAGE, re.MULTILINE)
    assert row is not None
    slots, rate, tokens, pace = (float(cell.replace(",", "")) for cell in row.groups())
    found = orjson.loads(capacity("--dtype", dtype, "--json"))
    assert slots == found["fleet"]["slots"]
    assert rate == round(found["fleet"]["requests_per_sec"], 1)
    assert tokens == pytest.approx(found["fleet"]["output_tokens_per_sec"], abs=5)
    assert pace == pytest.approx(1 / found["replica"]["secs_per_token"], abs=0.06)


def test_it_has_one_write_down_every_secret_that_is_read() -> None:
    (listed,) = re.findall(r"for name in ([A-Z_ ]+); do", PAGE)
    assert set(listed.split()) == set(SECRETS)
    referred = {
        key
        for file in KUBERNETES.rglob("*.yaml")
        for key in re.findall(r"name: gateway, key: ([A-Z_]+)", file.read_text())
    }
    assert referred - {"HUGGING_FACE_HUB_TOKEN"} <= set(SECRETS)


def test_its_times_are_those_of_the_manifests_and_the_settings() -> None:
    drain = re.search(r"^DRAIN_SECS=(\d+)$", (KUBERNETES / "base" / "gateway.env").read_text(), re.MULTILINE)
    assert drain is not None
    assert f"`DRAIN_SECS={drain[1]}`" in PAGE
    assert f"`MAX_REQUEST_SECS` ({Settings.model_fields['max_request_secs'].default:g})" in PAGE
