"""What the page on symptoms names is there: settings, figures, commands, words of the log, links."""

import re
from pathlib import Path

import pytest

from gateway.cli import COMMANDS
from gateway.elsewhere import FOREIGN
from gateway.observability.families.catalogue import CATALOGUE
from gateway.settings import names

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
SOURCES = "".join(path.read_text() for path in [*(ROOT / "gateway").rglob("*.py"), ROOT / "nginx" / "nginx.conf"])


def test_every_name_in_capitals_is_a_setting() -> None:
    named = {name for name in re.findall(r"\b[A-Z][A-Z_]{2,}\b", PAGE) if "_" in name}
    assert named - {*names(), *(foreign.name for foreign in FOREIGN)} == set()
    assert len(named) > 15


def test_every_figure_is_one() -> None:
    families = {family.name for family in CATALOGUE}
    named = {name.removesuffix("_total") for name in re.findall(r"`(gateway_\w+)", PAGE)}
    assert named <= families | {family.removesuffix("_total") for family in families}
    assert len(named) > 3


def test_every_command_of_the_gateway_is_one() -> None:
    typed = [*re.findall(r"`([^`\n]+)`", PAGE), *(line for block in BLOCKS for line in block.splitlines())]
    found = [re.search(r"(?:^|exec )gateway (?:gateway )?([a-z]+)", line) for line in typed]
    named = {match[1] for match in found if match}
    assert named <= set(COMMANDS)
    assert len(named) > 4


@pytest.mark.parametrize(
    "words", ["is no setting: ", "holds a placeholder", "is not set", "cannot listen on", "the database is at revision"]
)
def test_what_the_gateway_is_said_to_say_it_says(words: str) -> None:
    assert words in PAGE
    assert words in SOURCES


@pytest.mark.parametrize("code", sorted(set(re.findall(r"`([a-z]+_[a-z_]+)`", PAGE))))
def test_every_word_of_an_answer_or_a_line_is_the_codes(code: str) -> None:
    assert re.search(rf"\b{code}\b", SOURCES)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)", PAGE))))
def test_every_page_that_it_names_is_there(link: str) -> None:
    assert (ROOT / "docs" / link).is_file()
