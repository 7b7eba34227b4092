"""Does an answer stop where it must?"""

from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator import tokens
from gateway.simulator.plan import Limits, Plan, plan

ANSWER = "one two three four five six"


def text(planned: Plan) -> str:
    return "".join(planned.pieces)


def test_an_answer_that_fits_ends_with_a_token_of_its_own() -> None:
    planned = plan(ANSWER, Limits(100))
    assert (text(planned), planned.finish, planned.pieces[-1]) == (ANSWER, "stop", "")


def test_a_longer_answer_is_cut() -> None:
    planned = plan(ANSWER, Limits(3))
    assert (text(planned), planned.finish, len(planned.pieces)) == ("one two three", "length", 3)


def test_an_answer_that_ignores_its_end_is_as_long_as_allowed() -> None:
    planned = plan(ANSWER, Limits(50, ignore_eos=True))
    assert (len(planned.pieces), planned.finish) == (50, "length")


def test_a_minimum_is_kept() -> None:
    assert len(plan(ANSWER, Limits(100, min_tokens=20)).pieces) == 21


def test_a_stop_string_is_cut_away_and_named() -> None:
    planned = plan(ANSWER, Limits(100, stop=("three",)))
    assert (text(planned), planned.finish, planned.stop_reason) == ("one two ", "stop", "three")


def test_a_stop_string_may_lie_across_tokens_and_may_be_kept() -> None:
    planned = plan(ANSWER, Limits(100, stop=("wo th",), keep_stop=True))
    assert (text(planned), planned.stop_reason) == ("one two th", "wo th")


def test_a_stop_token_is_named_by_its_id() -> None:
    token = tokens.piece_id(" three")
    planned = plan(ANSWER, Limits(100, stop_token_ids=frozenset({token})))
    assert (text(planned), planned.stop_reason) == ("one two", token)


@given(st.text(min_size=1), st.integers(1, 60), st.lists(st.text(min_size=1, max_size=3), max_size=2), st.booleans())
def test_no_answer_exceeds_its_limit_or_holds_its_stop(answer: str, most: int, stop: list[str], ignore: bool) -> None:  # noqa: FBT001 -- hypothesis gives it by place
    planned = plan(answer, Limits(most, stop=tuple(stop), ignore_eos=ignore))
    assert len(planned.pieces) <= most + (planned.finish == "stop")
    if planned.stop_reason is not None:
        assert str(planned.stop_reason) not in text(planned)
