"""A row says who answers."""

import pytest

from gateway.core.context import Phase
from gateway.core.endpoint import Dialect
from tests.core.requests import CHAT, HEALTH, MESSAGES, context

pytestmark = pytest.mark.anyio


def test_a_row_with_a_backends_path_is_relayed() -> None:
    assert CHAT.relayed
    assert not HEALTH.relayed


async def test_a_request_speaks_the_dialect_of_its_path() -> None:
    assert context(MESSAGES).dialect is Dialect.ANTHROPIC


async def test_a_new_request_has_arrived_and_nothing_else_is_known_of_it() -> None:
    ctx = context()
    assert ctx.phase is Phase.ARRIVED
    assert (ctx.status, ctx.outcome, ctx.usage, ctx.answer_started, ctx.answer_complete) == (0, "", None, False, False)
    assert context().answer_headers is not ctx.answer_headers
