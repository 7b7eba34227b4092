"""Tests of docs/reliability.md: every test, setting, metric and number that it names is the code's."""

import ast
import re
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path

import pytest

from gateway import companion
from gateway.backends import availability, board, breaker, prober, progress
from gateway.backends.health import State
from gateway.bookkeeping import books, publishing
from gateway.cli import COMMANDS, fresh
from gateway.core import envelope
from gateway.core.keys import MIN_LENGTH
from gateway.database import transactions
from gateway.fleet import live
from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Family, Kind
from gateway.proxy import attempts, pieces, retry
from gateway.routing.policies import loads
from gateway.server import channel, control, generation, keeper
from gateway.settings import Settings
from gateway.store import spares, ticks
from gateway.upstream import tcp
from tests.chaos import test_outages
from tests.soak import verdict

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
README = (ROOT / "README.md").read_text()
PROMISES, _, _ = PAGE.partition("\n## What is not promised\n")
LINK = re.compile(r"\[([\w/]+\.py)::(\w+)\]\(([^)]+)\)")
NAMED = sorted(set(LINK.findall(PAGE)))
CODE = re.findall(r"`([^`\n]+)`", PAGE) + [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]

INTERVAL = Settings.model_fields["backend_probe_interval_secs"].default
TIMEOUT = Settings.model_fields["backend_probe_timeout_secs"].default
STALL = Settings.model_fields["backend_stall_secs"].default
UNDER_LOAD = Settings.model_fields["backend_down_after_under_load"].default
UP_AFTER = Settings.model_fields["backend_up_after"].default
DRAIN = Settings.model_fields["drain_secs"].default

FIGURES = (
    f"whole answers up to {pieces.HOLD_BYTES // 2**20} MiB are held",
    f"within {test_outages.AT_ONCE * 1000:g} ms on a machine that has time for it",
    f"`retry-after` of 1 to {envelope.MAX_RETRY_AFTER_SECS:g} s: a tenth",
    f"after {retry.PAUSE_SECS[0] * 1000:g} to {retry.PAUSE_SECS[1] * 1000:g} ms, within a budget of each worker",
    f"{retry.RATIO:.0%} of its requests, {retry.FLOOR_PER_SEC:g} a second always, {retry.CAPACITY:g} saved up",
    f"could not reach is not a second choice for {attempts.SUSPECT_SECS:g} s",
    f"others are asked first for {attempts.ASIDE_SECS:g} s",
    f"the prober looks within {prober.TICK_SECS:g} s",
    f"{INTERVAL + TIMEOUT:g} s at the latest",
    f"{INTERVAL + UNDER_LOAD * TIMEOUT + (UNDER_LOAD - 1) * prober.SOON_SECS:g} s at the latest",
    f"within that, one interval and a second, {STALL + INTERVAL + prober.SOON_SECS:g} s",
    f"| {progress.TRY_AGAIN_AFTER} times `BACKEND_STALL_SECS={STALL:g}`",
    f"about {UP_AFTER * prober.SOON_SECS:g} s",
    f"{availability.MISSED_BEATS * INTERVAL:g} s; again after {companion.AGAIN_SECS:g} s",
    f"less up to {breaker.JITTER:.0%} of chance",
    f"the lock is asked for {board.TRIES} times",
    f"with a half-life of {loads.HALF_LIFE_SECS:g} s",
    f"nothing; {channel.KILL_MARGIN_SECS:g} s where a loop stands still",
    f"when its loop has stood still for {control.HUNG_LOOKS * control.LOOK_SECS:g} s",
    f"or has not begun to turn after {control.START_LOOKS * control.LOOK_SECS:g} s; each",
    f"may take twice as long, up to {control.MOST_START_LOOKS * control.LOOK_SECS:g} s",
    f"then {channel.FAREWELL_SECS:g} s to say so; the end after {channel.farewell_secs(DRAIN):g} s at the latest",
    f"{fresh.READ_SECS:g} s to read the settings, {generation.START_SECS:g} s for each new worker to come up",
    f"after quick deaths in a row up to {keeper.BACKOFF_SECS[-1]:g} s later",
    f"all look for the dead every {ticks.TICK_SECS:g} s",
    f"up to {spares.SPARES_PER_NAME} idle slots of an organization",
    f"noticed in about {tcp.UNACKNOWLEDGED_MS / 1000:g} s",
    f"looks {publishing.POLL_SECS:g} s apart for changes, {live.LOOK_SECS:g} s apart for models",
    f"more than {books.PATIENCE_SECS:g} s waits too; records leave the journal {books.COLLECT_SECS:g} s apart",
    f"and {transactions.GRACE_SECS:g} s to part",
    f"ends with its supervisor where that is killed. | {channel.END_SECS:g} s |",
    f"by less than {verdict.MAX_SLOPE:g} MiB a minute",
)
"""Numbers of the code as the page says them; what is worked out from several is worked out here again."""


@cache
def defined_in(file: str) -> frozenset[str]:
    """The tests that a file defines: functions, and state machines that are bound to a name."""
    names: list[str] = []
    for node in ast.parse((ROOT / "tests" / file).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return frozenset(name for name in names if name.lower().startswith("test"))


def exposed(family: Family) -> set[str]:
    """The names under which Prometheus sees a family, without those of a histogram's parts."""
    return {f"{family.name}_total" if family.kind is Kind.COUNTER else family.name}


def stated(value: object) -> str:
    """A default as a line of `.env` has it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(("file", "name", "target"), NAMED, ids=[f"{file}::{name}" for file, name, _ in NAMED])
def test_a_named_test_exists_where_its_link_leads(file: str, name: str, target: str) -> None:
    assert target == f"../tests/{file}"
    assert name in defined_in(file)


def test_every_promise_names_a_test() -> None:
    tables = [table.splitlines() for table in re.findall(r"(?:^\|.*\n)+", PROMISES, re.MULTILINE)]
    rows = [row for table in tables if "| test |" in table[0] for row in table[2:]]
    assert len(rows) > 60
    assert [row for row in rows if not LINK.search(row.split("|")[3])] == []
    assert PAGE.count("::test_") + PAGE.count("::Test") == len(LINK.findall(PAGE))


def test_every_setting_exists_and_its_default_is_the_stated_one() -> None:
    pairs = [pair for code in CODE for pair in re.findall(r"^([A-Z][A-Z\d_]*)=(\S*)$", code)]
    said = dict(pairs)
    assert len(said) == len(set(pairs))
    assert len(said) > 30
    defaults = {name: stated(Settings.model_fields[name.lower()].default) for name in said}
    assert said == defaults


def test_every_setting_that_is_spoken_of_is_one_and_constant_defaults_are_stated() -> None:
    words = set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", PAGE))
    assert {word for word in words if word.lower() not in Settings.model_fields} == set()
    unstated = {word for word in words if f"`{word}=" not in PAGE}
    fixed = {"LIMITER_PATH", "MAX_TRACKED_ORGANIZATIONS", "REDIS_URL"}
    assert unstated == fixed  # named as what no reload changes, and no more


def test_every_metric_is_one_with_these_labels() -> None:
    families = {name: family for family in CATALOGUE for name in exposed(family)}
    spoken = [match for code in CODE for match in re.findall(r"\b(gateway_[a-z_]+)(?:\{(.*?)\})?", code)]
    assert spoken
    for name, labels in spoken:
        assert set(re.findall(r"(\w+)=", labels)) <= set(families[name].labels), name


def test_every_state_of_a_backend_is_spoken_of() -> None:
    assert {word for word in State if f"`{word}`" not in PAGE} == set()


def test_every_command_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(chain.from_iterable(re.findall(r"^make ([a-z-]+)", code) for code in CODE))
    assert targets >= {"chaos", "soak", "fuzz"}
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
    assert {command for code in CODE for command in re.findall(r"^gateway ([a-z]+)", code)} <= set(COMMANDS)


@pytest.mark.parametrize("figure", FIGURES)
def test_a_number_of_the_code_is_the_one_that_is_said(figure: str) -> None:
    assert figure in PAGE


def test_every_file_that_it_links_or_speaks_of_is_there() -> None:
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)#][^)]*)\)", PAGE)}
    assert [target for target in linked if not (ROOT / "docs" / target).exists()] == []
    spoken = [code for code in CODE if re.fullmatch(r"(?:tests|proxy)/[\w/.]+", code)]
    assert spoken
    assert [path for path in spoken if not any((base / path).exists() for base in (ROOT, ROOT / "gateway"))] == []


def test_what_is_linked_inside_of_the_page_is_a_heading() -> None:
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= headings


def test_the_readme_states_the_same_numbers_and_what_they_follow_from() -> None:
    loaded = INTERVAL + UNDER_LOAD * TIMEOUT + (UNDER_LOAD - 1) * prober.SOON_SECS
    stalled = STALL + INTERVAL + prober.SOON_SECS
    readme = " ".join(README.split())
    silent = f"`BACKEND_PROBE_INTERVAL_SECS` {INTERVAL:g} and `BACKEND_PROBE_TIMEOUT_SECS` {TIMEOUT:g}"
    assert f"found within {INTERVAL + TIMEOUT:g} s ({silent}), and within {loaded:g} s while" in readme
    assert f"once more, `BACKEND_DOWN_AFTER_UNDER_LOAD` {UNDER_LOAD}" in readme
    assert f"found within {stalled:g} s (`BACKEND_STALL_SECS` {STALL:g}, the interval of {INTERVAL:g}" in readme


def test_the_readme_states_the_least_length_of_a_key() -> None:
    assert f"key ({MIN_LENGTH} characters or more)" in README


def test_a_tenth_is_a_tenth() -> None:
    assert (availability.PATIENCE_SHARE, availability.LONGEST_PATIENCE_SECS) == (0.1, envelope.MAX_RETRY_AFTER_SECS)


def test_the_readme_states_defaults_as_they_are() -> None:
    rows = re.findall(r"^\| ((?:`[A-Z\d_]+` ?)+) \| ([\d, ]+|empty|round_robin) \|", README, re.MULTILINE)
    said = [
        pair
        for names, values in rows
        for pair in zip_longest(re.findall(r"\w+", names), values.split(", "), fillvalue=values)
    ]
    assert len(said) > 15
    defaults = [Settings.model_fields[name.lower()].default for name, _ in said]
    assert [value for _, value in said] == ["empty" if default in ("", []) else stated(default) for default in defaults]
