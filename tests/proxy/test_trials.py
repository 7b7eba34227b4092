"""The one request that may try a half-open backend: it goes there first, and its end is the trial's."""

import asyncio

import pytest

from gateway.backends.availability import Choice
from gateway.proxy.unavailable import BusyError
from gateway.upstream.errors import NeverSent
from tests.proxy.fakes import BACKENDS, FakeReply, plan_of, whole
from tests.proxy.post import DRAINING, Post, refusal

pytestmark = pytest.mark.anyio


def on_trial(post: Post) -> None:
    post.conductor.availability.choices["chat"] = Choice(BACKENDS[1:], trial=BACKENDS[0])


async def test_a_half_open_backend_is_asked_first_by_the_one_request_that_may() -> None:
    post = Post(chat0=[whole(b"{}")], chat1=[whole(b"{}")])
    on_trial(post)
    await post.open()
    assert (post.client.order, post.told) == (["chat0"], ["chat0 succeeded on trial"])


async def test_all_others_go_where_they_would_have_gone() -> None:
    post = Post(chat1=[whole(b"{}")])
    on_trial(post)
    post.conductor.breaker.trial_taken = True
    attempt = await post.conductor.dispatcher.open(post.ctx, plan_of())
    assert (post.client.order, attempt.trial) == (["chat1"], 0)


async def test_a_trial_that_is_never_sent_fails_and_its_request_is_answered_by_another() -> None:
    post = Post(chat0=[NeverSent("refused")], chat1=[whole(b"{}")])
    on_trial(post)
    await post.open()
    assert post.told == ["chat0 failed on trial", "chat1 succeeded"]


async def test_a_trial_that_meets_a_server_that_drains_says_so_as_the_trial() -> None:
    post = Post(chat0=[whole(DRAINING, 500)], chat1=[whole(b"{}")])
    on_trial(post)
    await post.open()
    assert post.told == ["chat0 tripped on trial", "chat1 succeeded"]


async def test_the_last_backend_is_asked_by_those_too_who_did_not_get_its_trial() -> None:
    post = Post(chat0=[whole(b"{}")])
    post.conductor.availability.choices["chat"] = Choice(BACKENDS[:1], trial=BACKENDS[0])
    post.conductor.breaker.trial_taken = True
    attempt = await post.conductor.dispatcher.open(post.ctx, plan_of())
    assert attempt.backend is BACKENDS[0]


async def test_a_backend_that_refused_its_trial_is_not_asked_again_for_the_same_request() -> None:
    post = Post(chat0=[refusal(), whole(b"{}")])
    post.conductor.availability.choices["chat"] = Choice(BACKENDS[:1], trial=BACKENDS[0])
    await post.fails(BusyError)
    assert post.client.order == ["chat0"]


@pytest.mark.parametrize("status", [400, 429])
async def test_a_trial_that_says_nothing_is_given_back(status: int) -> None:
    post = Post(chat0=[whole(b"{}", status)], chat1=[whole(b"{}")])
    on_trial(post)
    await post.open()
    assert post.told[0] == "chat0 neutral on trial"
    assert post.conductor.idle


@pytest.mark.parametrize("reply", [None, FakeReply(b"part", status=503, hangs=True)], ids=["connecting", "reading"])
async def test_a_client_that_leaves_in_the_middle_of_a_trial_gives_it_back(reply: FakeReply | None) -> None:
    post = Post(chat0=[reply] if reply is not None else [])
    on_trial(post)
    task = asyncio.create_task(post.open())
    await (post.client.waits if reply is None else reply.waits).wait()
    assert post.conductor.breaker.trial_taken
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert post.told == ["chat0 neutral on trial"]
    assert post.conductor.idle


async def test_an_unforeseen_failure_blames_nobody_and_leaves_nothing() -> None:
    post = Post(chat0=[ValueError("a bug of ours")])
    on_trial(post)
    await post.fails(ValueError)
    assert post.told == ["chat0 neutral on trial"]
