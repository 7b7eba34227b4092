"""Tests of bench/plan.py and bench/bodies.py: what is measured, and with which bodies."""

import orjson
import pytest

from bench.bodies import batch, conversation
from bench.peers import EMBED_MODEL
from bench.plan import FULL, LEAVING, QUICK


def test_what_is_counted_is_timed_too() -> None:
    for plan in (FULL, QUICK):
        assert {load.name for load in plan.counted} <= {load.name for load in plan.timed}


def test_every_topic_can_be_measured_alone() -> None:
    for topic in FULL.topics():
        plan = FULL.only([topic])
        assert plan.topics() == [topic]
        assert {load.topic for load in plan.counted} <= {topic}
    assert FULL.only(FULL.topics()).topics() == FULL.topics()


def test_without_its_topic_nobody_leaves() -> None:
    assert not FULL.only(["json"]).departures
    assert FULL.only([LEAVING]).departures
    assert not FULL.only([LEAVING]).timed


def test_a_scale_makes_every_window_shorter_and_leaves_what_comes_before() -> None:
    short = FULL.times(0.1)
    assert [load.seconds for load in short.timed] == pytest.approx([load.seconds / 10 for load in FULL.timed])
    assert [load.warm_up for load in short.crowds] == [load.warm_up for load in FULL.crowds]
    assert short.scaled[4].seconds == pytest.approx(FULL.scaled[4].seconds / 10)


@pytest.mark.parametrize("size", [500, 5_000, 500_000])
def test_a_conversation_has_the_size_that_was_asked_for(size: int) -> None:
    body = conversation(size)
    assert 0.99 * size <= len(body) <= size
    turns = [message["role"] for message in orjson.loads(body)["messages"]]
    assert turns[0] == "user"
    assert "assistant" in turns or len(turns) == 1


def test_a_batch_has_so_many_inputs_and_no_two_alike() -> None:
    asked = orjson.loads(batch(256))
    assert asked["model"] == EMBED_MODEL
    assert len(set(asked["input"])) == 256
