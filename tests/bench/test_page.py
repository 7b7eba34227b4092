"""Tests of bench/page.py: what the page says of results that a run with very short windows has left."""

import re
from pathlib import Path
from typing import Any

import pytest

from bench.goals import GOALS
from bench.page import BEGIN, END, outcome, put_between_marks, render
from bench.peers import PEERS, SWITCHED_ON
from bench.table import read_all

ROOT = Path(__file__).parents[2]
ABOUT, *ROWS = read_all(Path(__file__).with_name("recorded.jsonl"))
RUN: dict[str, Any] = {**ABOUT["run"], "load_average": [0.4, 0.5, 0.6]}
PEERS_SEEN = [row["peer"] for row in ROWS]


def changed(**figures: float) -> list[dict[str, Any]]:
    """The recorded repetition with other figures of the gateway's."""
    return [
        {**row, "figures": {**row["figures"], **figures}} if row["peer"] == "gateway" else dict(row) for row in ROWS
    ]


def line(page: str, beginning: str) -> str:
    """The first line of a table that begins so."""
    return next(found for found in page.splitlines() if found.startswith(f"| {beginning}"))


def test_it_says_where_when_and_what_was_measured() -> None:
    page = render(RUN, ROWS, {})
    for fact in (RUN["date"], RUN["commit"], RUN["kernel"], RUN["model"], RUN["python"], "1 repetition by turns"):
        assert fact in page
    assert "busy" not in page


def test_a_busy_machine_is_confessed_at_the_top() -> None:
    page = render({**RUN, "load_average": [3.0, 2.0, 1.0]}, ROWS, {})
    assert "The machine was busy" in page.partition("## The goals")[0]


def test_every_goal_stands_beside_what_was_seen() -> None:
    page = render(RUN, ROWS, {})
    for goal in GOALS:
        shown = line(page, goal.what)
        assert goal.stated(goal.must) in shown
        assert goal.stated(goal.moonshot) in shown


def test_a_missed_must_is_as_visible_as_a_loss() -> None:
    slow, quick = (render(RUN, changed(**{"start s": seconds}), {}) for seconds in (2.4, 0.7))
    assert "**missed by 1.20 s (100 %)**" in line(slow, "start to the first 200")
    assert "<= 1.2 s: met" in line(quick, "start to the first 200")

    def missed(page: str) -> int:
        return int(re.findall(r"met, (\d+) missed", page)[0])

    assert missed(slow) == missed(quick) + 1


def test_a_figure_above_anothers_is_lost_and_one_below_is_won() -> None:
    figure = "JSON c=32: CPU us/request"
    theirs = next(row["figures"][figure] for row in ROWS if row["peer"] == "vllm-router")
    for factor, word in ((2.0, "**lost**"), (0.5, "won")):
        shown = line(render(RUN, changed(**{figure: theirs * factor}), {}), figure)
        assert f"| {factor:.2f} {word} |" in shown


def test_where_repetitions_disagree_there_is_no_winner() -> None:
    assert outcome([0.8, 0.9, 1.1]) == outcome([0.9, 1.1, 1.2]) == outcome([1.0]) == "level"
    assert (outcome([0.8, 0.9]), outcome([1.1, 1.2])) == ("won", "lost")


def test_every_figure_of_every_peer_is_in_a_table() -> None:
    page = render(RUN, ROWS, {}).partition("## Every figure")[2]
    for row in ROWS:
        for name in row["figures"]:
            assert f"| {name.rpartition(': ')[2]} |" in page or f"| {name} |" in page
    assert page.count(f"|  | {' | '.join(PEERS_SEEN)} |") == page.count("### ")


def test_it_says_what_each_peer_does_and_what_went_otherwise() -> None:
    page = render(RUN, ROWS, {})
    for peer in PEERS_SEEN:
        assert SWITCHED_ON[peer] in line(page, peer)
    for word in ("authentication", "exact limits", "metering", "metrics", "access log"):
        assert word in line(page, "gateway")
    assert "- vllm-router: a wrong key is answered 200 (in 1 of 1 repetition)" in page


def test_of_the_nginx_that_is_measured_it_is_said_that_the_stack_runs_another() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    (image,) = re.findall(r"NGINX_IMAGE:-(.+?)}", compose)
    version = line(render(RUN, ROWS, {}), "nginx | nginx version").split(" | ")[1]
    assert version == f"nginx version: nginx/1.22.1 (installed here and so measured; the stack runs {image})"


def test_every_peer_is_described() -> None:
    assert set(SWITCHED_ON) == set(PEERS)


def test_the_pictures_stand_in_it() -> None:
    assert "![CPU of things](bench/cpu.png)" in render(RUN, ROWS, {"cpu.png": "CPU of things"})


def test_what_others_wrote_beside_it_is_kept() -> None:
    text = render(RUN, ROWS, {})
    page = put_between_marks(f"before\n{BEGIN}\nold{END}\n\n## With Locust\n", text)
    assert page == f"before\n{text}\n\n## With Locust\n"
    assert put_between_marks(page, text) == page


@pytest.mark.parametrize("before", ["", "## With Locust\n"])
def test_a_page_without_marks_gets_the_text_on_top(before: str) -> None:
    page = put_between_marks(before, f"{BEGIN}\nnew\n{END}")
    assert page.startswith(BEGIN)
    assert page.endswith(before or f"{END}\n")


def test_a_text_that_is_to_stand_below_comes_last_and_keeps_its_place() -> None:
    page = put_between_marks("above\n", "<!-- a -->\nold\n<!-- b -->", below=True)
    assert page == "above\n\n<!-- a -->\nold\n<!-- b -->\n"
    assert put_between_marks(page + "behind\n", "<!-- a -->\nnew\n<!-- b -->", below=True) == (
        "above\n\n<!-- a -->\nnew\n<!-- b -->\nbehind\n"
    )
