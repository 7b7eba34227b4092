"""Are token counts read as the backend meant them?"""

import pytest

from gateway.core.usage import Usage
from gateway.streaming.usage import MARK, UsageCut, UsageTally, figures_end, parse_usage


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2}', Usage(3, 2)),
        (b'{"prompt_tokens":3,"completion_tokens":null}', Usage(3, 0)),
        (b'{"input_tokens":3,"output_tokens":2}', Usage(3, 2)),
        (b'{"input_tokens":3,"cache_read_input_tokens":4,"cache_creation_input_tokens":5}', Usage(12, 0)),
        (b"null", None),
        (b"{}", None),
        (b'{"prompt_tokens":"x"}', None),
        (b"{", None),
    ],
)
def test_usage_of_any_dialect(raw: bytes, expected: Usage | None) -> None:
    assert parse_usage(raw) == expected


def test_what_to_cut_follows_from_what_was_asked() -> None:
    assert UsageCut.for_request(include_usage=False, continuous_usage=False) is UsageCut.ALL
    assert UsageCut.for_request(include_usage=False, continuous_usage=True) is UsageCut.ALL
    assert UsageCut.for_request(include_usage=True, continuous_usage=False) is UsageCut.EVENTS
    assert UsageCut.for_request(include_usage=True, continuous_usage=True) is UsageCut.NOTHING


@pytest.mark.parametrize(
    ("rest", "closed"),
    [(b'"a":1}}', 6), (b'"a":{"b":1},"c":{}}}', 19), (b'"a":1', 0), (b'"a":{"b":{}}}', 0)],
)
def test_where_the_figures_end(rest: bytes, closed: int) -> None:
    block = MARK + rest
    assert figures_end(block, 0, len(block)) == (closed and len(MARK) + closed)


def test_totals_overrule_what_was_added_up() -> None:
    tally = UsageTally(1)
    raw = b'{"prompt_tokens":3,"completion_tokens":2}'
    tally.note(b"0", raw)
    assert tally.read() == Usage(3, 2)
    tally.state(Usage(3, 9))
    assert tally.read() == Usage(3, 9)


def test_a_request_for_no_choice_at_all_is_no_division_by_it() -> None:
    tally = UsageTally(0)
    tally.note(b"1", b'{"prompt_tokens":3}')
    assert tally.read() == Usage(3, 0)


def test_a_null_in_the_place_of_figures_counts_for_nothing() -> None:
    tally = UsageTally(1)
    tally.note(b"0", b"null")
    assert tally.read() is None
