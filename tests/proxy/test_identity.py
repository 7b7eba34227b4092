"""An answer that is not to this request is shown to nobody."""

import pytest

from gateway.core.endpoint import Endpoint, ModelKind
from gateway.proxy.identity import ForeignAnswerError, Identities
from tests.core.requests import POST, context
from tests.proxy.fakes import whole

pytestmark = pytest.mark.anyio
OTHERS = b'{"id":"chatcmpl-somebody-else","object":"chat.completion"}'


async def test_a_backend_that_repeated_our_id_once_is_held_to_it() -> None:
    identities, ctx = Identities(), context()
    ctx.backend = "chat0"
    identities.check(ctx, whole(b""), b'{"id":"chatcmpl-%b"}' % ctx.request_id.encode())
    reply = whole(b"")
    with pytest.raises(ForeignAnswerError):
        identities.check(ctx, reply, OTHERS)
    assert reply.discarded


async def test_a_backend_that_never_repeated_an_id_is_believed() -> None:
    identities, ctx = Identities(), context()
    reply = whole(b"")
    identities.check(ctx, reply, OTHERS)
    assert not reply.discarded


async def test_one_backends_habit_says_nothing_of_anothers() -> None:
    identities, ctx = Identities(), context()
    ctx.backend = "chat0"
    identities.check(ctx, whole(b""), ctx.request_id.encode())
    ctx.backend = "chat1"
    reply = whole(b"")
    identities.check(ctx, reply, OTHERS)
    assert not reply.discarded


async def test_an_id_far_inside_a_text_is_none() -> None:
    identities, ctx = Identities(), context()
    identities.check(ctx, whole(b""), ctx.request_id.encode())
    with pytest.raises(ForeignAnswerError):
        identities.check(ctx, whole(b""), b"x" * 2000 + ctx.request_id.encode())


COUNTS = Endpoint("/v1/tokenize", POST, upstream_path=b"/tokenize", kinds=(ModelKind.CHAT,))


async def test_an_answer_with_an_id_is_none_to_a_request_for_a_count() -> None:
    identities, ctx = Identities(), context(COUNTS)
    identities.check(ctx, whole(b""), b'{"count":1,"max_model_len":8192,"tokens":[1]}')
    reply = whole(b"")
    with pytest.raises(ForeignAnswerError):
        identities.check(ctx, reply, OTHERS)
    assert reply.discarded
