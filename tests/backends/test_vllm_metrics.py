"""What is read of a backend's /metrics, and what is not believed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.vllm_metrics import Figures, read_figures
from tests.backends.scripted import page

WELL = page(running=3, waiting=2, generated=1000, prompted=500.5, finished=7)


def test_a_page_of_vllm_gives_its_five_figures() -> None:
    assert read_figures(WELL) == Figures(running=3, waiting=2, generated=1000, prompted=500.5, finished=7)


def test_engines_and_finish_reasons_are_added_up() -> None:
    second = WELL.replace(b'engine="0"', b'engine="1"')
    assert read_figures(WELL + second) == Figures(6, 4, 2000, 1001.0, 14)


def test_how_often_models_were_asked_for_is_told_where_the_page_says_so() -> None:
    listed = b'http_requests_total{handler="/v1/models",method="GET",status="2xx"} %d.0\n'
    other = b'http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 9.0\n'
    figures = read_figures(WELL + listed % 5 + listed.replace(b"2xx", b"4xx") % 2 + other)
    assert figures is not None
    assert figures.listed == 7
    assert read_figures(listed % 5) is None


def test_windows_lines_and_missing_labels_are_read() -> None:
    bare = WELL.replace(b'{engine="0",model_name="qwen"}', b"").replace(b"\n", b"\r\n")
    assert read_figures(bare) == read_figures(WELL)


def test_scientific_figures_are_read() -> None:
    figures = read_figures(WELL.replace(b" 1000\n", b" 1.5e+09\n"))
    assert figures is not None
    assert figures.generated == 1.5e9


@pytest.mark.parametrize(
    "name",
    [
        "num_requests_running",
        "num_requests_waiting",
        "generation_tokens_total",
        "prompt_tokens_total",
        "request_success_total",
    ],
)
def test_a_page_that_lacks_a_figure_says_nothing(name: str) -> None:
    lines = [line for line in WELL.splitlines(keepends=True) if not line.startswith(f"vllm:{name}{{".encode())]
    assert read_figures(b"".join(lines)) is None


@pytest.mark.parametrize("value", [b"NaN", b"+Inf", b"-1", b"many", b"0x10", b"1_0", b"\x0b1", b"1e999", b"1e"])
def test_a_figure_that_is_none_makes_the_page_say_nothing(value: bytes) -> None:
    assert read_figures(WELL.replace(b" 1000\n", b" " + value + b"\n")) is None


@pytest.mark.parametrize("body", [b"", b"<html>It works!</html>", b"\x00\xff" * 500, b"vllm:num_requests_running 1"])
def test_what_is_no_such_page_says_nothing(body: bytes) -> None:
    assert read_figures(body) is None


@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    middle = len(WELL) // 2
    for figures in (read_figures(body), read_figures(WELL[:middle] + body + WELL[middle:])):
        assert figures is None or all(0 <= one < math.inf for one in figures if one is not None)


def test_the_counters_alone_tell_whether_it_moved() -> None:
    before, after = (
        read_figures(WELL),
        read_figures(page(running=9, waiting=0, generated=1000, prompted=500.5, finished=7)),
    )
    assert before is not None
    assert after is not None
    assert before.counters == after.counters
