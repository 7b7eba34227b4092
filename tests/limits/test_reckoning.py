"""What was stated of some requests tells what others have cost that ended without a word."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.context import RequestContext
from gateway.core.endpoint import Endpoint
from gateway.core.lifeline import Cut
from gateway.core.usage import MAX_TOKENS, Usage
from gateway.limits.reckoning import FIRST_LESSONS, LESSONS, MOST_KINDS, MOST_LESSONS, Line, Reckoner
from gateway.payload.peek import Peek
from gateway.proxy.planner import Plan
from tests.core.hand_time import HandTime
from tests.core.requests import CHAT, EMBEDDINGS, context

pytestmark = pytest.mark.anyio

FIRST, EACH = 0.3, 0.025
"""Seconds to the first token and from one to the next."""
AROUND = 80
"""Bytes of a body that are no prompt; a token of that has five."""
PER_CHOICE = 1024


def sized(tokens: int) -> int:
    """Bytes of a body with a prompt of so many tokens."""
    return AROUND + 5 * tokens


class Pupil:
    """A reckoner, and requests that come at 0 s and end when a test wants."""

    def __init__(self) -> None:
        self.clock = HandTime(now=0.0)
        self.reckoner = Reckoner(PER_CHOICE, self.clock.monotonic)

    def request(self, size: int, endpoint: Endpoint = CHAT, **peeked: Any) -> RequestContext:
        ctx = context(endpoint, started=0.0, group="chat", attempts=1)
        ctx.plan = Plan(None, b"x" * size, Peek(**peeked))  # type: ignore[arg-type]  # no room here asks for the route
        return ctx

    def learn(self, ctx: RequestContext, usage: Usage, at: float) -> None:
        """It was answered in full, with such figures."""
        ctx.answer_complete = True
        self.clock.now = at
        self.reckoner.learn(ctx, usage)

    def reckon(self, ctx: RequestContext, at: float, reason: Cut | None = Cut.CLIENT_GONE) -> Usage:
        """It was ended, unless something else is said by its client."""
        ctx.lifeline.reason = reason
        self.clock.now = at
        return self.reckoner.reckon(ctx)


def taught(endpoint: Endpoint = CHAT, **peeked: Any) -> Pupil:
    """One that knows the fleet."""
    pupil = Pupil()
    for tokens in range(10, 50):
        made = Usage(tokens, 3 * tokens)
        pupil.learn(pupil.request(sized(tokens), endpoint, **peeked), made, FIRST + 3 * tokens * EACH)
    return pupil


async def test_as_long_as_nothing_is_known_a_token_has_four_bytes_and_none_was_made() -> None:
    pupil = Pupil()
    assert pupil.reckon(pupil.request(400), 60.0) == Usage(100, 0)


async def test_the_prompt_is_what_bodies_of_its_size_were_and_the_answer_what_its_time_was_enough_for() -> None:
    pupil = taught()
    assert pupil.reckon(pupil.request(sized(200)), FIRST + 70 * EACH) == Usage(200, 70)


async def test_before_the_first_token_none_was_made() -> None:
    pupil = taught()
    assert pupil.reckon(pupil.request(sized(200)), FIRST / 2) == Usage(200, 0)


async def test_time_in_the_queue_makes_no_tokens() -> None:
    pupil = taught()
    ctx = pupil.request(sized(200))
    ctx.queue_wait = 2.0
    assert pupil.reckon(ctx, 2.0 + FIRST + 70 * EACH) == Usage(200, 70)


@pytest.mark.parametrize("reason", [None, Cut.LIFETIME, Cut.FIRST_TOKEN, Cut.SHUTDOWN])
async def test_an_end_that_its_client_has_not_made_costs_the_prompt_alone(reason: Cut | None) -> None:
    pupil = taught()
    assert pupil.reckon(pupil.request(sized(200)), FIRST + 70 * EACH, reason) == Usage(200, 0)


@pytest.mark.parametrize("came", [0, 33])
async def test_of_a_stream_is_charged_what_came_of_it(came: int) -> None:
    pupil = Pupil()
    for tokens in range(10, 50):
        ctx = pupil.request(sized(tokens))
        ctx.streamed = True
        pupil.learn(ctx, Usage(tokens, 3 * tokens), FIRST + 3 * tokens * EACH)
    left = pupil.request(sized(200))
    left.streamed, left.token_events = True, came
    assert pupil.reckon(left, 60.0) == Usage(200, came)


@pytest.mark.parametrize(("peeked", "most"), [({"max_tokens": 20}, 20), ({}, PER_CHOICE), ({"max_tokens": -1}, 0)])
async def test_no_longer_answer_is_reckoned_than_was_set_aside_for_it(peeked: dict[str, Any], most: int) -> None:
    pupil = taught()
    assert pupil.reckon(pupil.request(sized(200), **peeked), 3600.0) == Usage(200, most)


async def test_choices_are_made_side_by_side() -> None:
    several: dict[str, Any] = {"n": 2, "prompts": 3}
    alone, together = Pupil(), taught()
    for tokens in range(10, 50):
        alone.learn(alone.request(100, **several), Usage(20, 6 * tokens), FIRST + tokens * EACH)
    assert alone.reckon(alone.request(100), FIRST + 70 * EACH).completion_tokens == 70
    assert together.reckon(together.request(100, **several), FIRST + 70 * EACH).completion_tokens == 6 * 70


async def test_answers_that_were_all_alike_are_taken_in_proportion() -> None:
    pupil = Pupil()
    for _ in range(10):
        pupil.learn(pupil.request(400), Usage(50, 100), 4.0)
    assert pupil.reckon(pupil.request(800), 1.0) == Usage(100, 25)


async def test_paths_and_models_and_streams_are_apart() -> None:
    pupil = taught()
    other, stream = pupil.request(400), pupil.request(400)
    other.group, stream.streamed = "text2sql", True
    for ctx in (pupil.request(400, EMBEDDINGS), other, stream):
        assert pupil.reckon(ctx, 60.0) == Usage(100, 0)


async def test_what_only_reads_makes_nothing() -> None:
    pupil = Pupil()
    pupil.learn(pupil.request(500, EMBEDDINGS), Usage(50), 0.1)
    assert pupil.reckon(pupil.request(1000, EMBEDDINGS), 60.0) == Usage(100, 0)


async def test_newer_answers_outweigh_older_ones() -> None:
    pupil = taught()
    for tokens in range(10, 500):
        pupil.learn(pupil.request(sized(tokens)), Usage(tokens, tokens), FIRST + tokens * EACH * 4)
    assert pupil.reckon(pupil.request(100), FIRST + 70 * EACH * 4).completion_tokens == pytest.approx(70, abs=1)


async def test_nothing_is_learned_of_an_answer_that_has_no_end_or_was_tried_twice() -> None:
    pupil = Pupil()
    cut_off, retried = pupil.request(400), pupil.request(400)
    pupil.reckoner.learn(cut_off, Usage(7, 7))
    retried.attempts = 2
    pupil.learn(retried, Usage(7, 7), 1.0)
    assert pupil.reckoner.lessons == FIRST_LESSONS
    assert pupil.reckon(pupil.request(400), 60.0) == Usage(100, 0)


async def test_where_nobody_leaves_nothing_more_is_learned() -> None:
    pupil = Pupil()
    for _ in range(FIRST_LESSONS):
        pupil.learn(pupil.request(400), Usage(50, 100), 4.0)
    assert pupil.reckoner.lessons == 0
    pupil.reckon(pupil.request(400), 1.0)
    assert pupil.reckoner.lessons == LESSONS
    for _ in range(100):
        pupil.reckon(pupil.request(400), 1.0)
    assert pupil.reckoner.lessons == MOST_LESSONS


async def test_models_that_come_and_go_for_ever_take_no_more_room() -> None:
    pupil = Pupil()
    names = [f"model {number}" for number in range(MOST_KINDS + 10)]
    for name in names:
        ctx = pupil.request(400)
        ctx.group = name
        pupil.learn(ctx, Usage(50, 100), 4.0)
    assert [kind.group for kind in pupil.reckoner._known] == names[-MOST_KINDS:]


figures = st.integers(0, MAX_TOKENS)


@given(st.lists(st.tuples(figures, figures), max_size=30))
def test_no_line_falls(pairs: list[tuple[int, int]]) -> None:
    line = Line()
    for x, y in pairs:
        line.add(x, y)
    fitted = line.fit()
    assert fitted is None or fitted[1] >= 0.0


LESSON = st.tuples(st.integers(1, 2000), figures, figures, st.floats(0, 1e6))
"""Bytes, tokens of the prompt and of the answer, seconds."""


@given(
    st.lists(LESSON, max_size=30),
    st.integers(0, 2000),
    st.floats(0, 1e6),
    st.none() | st.integers(-5, 5000),
    st.integers(1, 8),
)
async def test_whatever_was_learned_nobody_is_charged_beyond_the_bounds_of_his_own_request(
    lessons: list[tuple[int, int, int, float]], size: int, at: float, max_tokens: int | None, n: int
) -> None:
    pupil = Pupil()
    for length, prompt, completion, secs in lessons:
        pupil.learn(pupil.request(length), Usage(prompt, completion), secs)
    done = pupil.reckon(pupil.request(size, max_tokens=max_tokens, n=n), at)
    assert size // 4 // 4 <= done.prompt_tokens <= size
    assert 0 <= done.completion_tokens <= n * max(PER_CHOICE if max_tokens is None else max_tokens, 0)
