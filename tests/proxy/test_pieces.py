"""A long answer goes on in the pieces it came in, once it was judged or is too long to hold."""

import orjson
import pytest

from gateway.core.asgi import Message
from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.core.usage import Usage
from gateway.proxy.client_side import ClientSide
from gateway.proxy.error_answer import StatedError
from gateway.proxy.identity import ForeignAnswerError, Identities
from gateway.proxy.pieces import HOLD_BYTES, LONG_BYTES, relay_pieces
from gateway.proxy.watchdog import Watchdog
from gateway.upstream.errors import MayHaveRun
from tests.core.hand_time import HandTime
from tests.core.requests import Told, context
from tests.proxy.fakes import FakeReply, plan_of

pytestmark = pytest.mark.anyio

ALIAS = "Qwen/Qwen2.5-7B-Instruct"
USAGE = b'],"usage":{"prompt_tokens":5,"total_tokens":5,"completion_tokens":0}}'


def vectors(size: int, model: bytes = b"qwen") -> bytes:
    """An embeddings answer of about that many bytes."""
    numbers = b",".join([b"-0.0123456789"] * (size // 14))
    head = b'{"id":"embd-1","object":"list","created":1,"model":"%b","data":[' % model
    return head + b'{"index":0,"object":"embedding","embedding":[' + numbers + b"]}" + USAGE


LONG = vectors(2 * LONG_BYTES)
TOO_LONG = vectors(HOLD_BYTES + LONG_BYTES)
LISTED = LONG.replace(b"-0.0123456789", b'"0xtrue"')  # texts have any letter


class Pass:
    """One answer in pieces on its way."""

    def __init__(self, reply: FakeReply, asked: str = "qwen", identities: Identities | None = None) -> None:
        self.reply = reply
        self.ctx: RequestContext = context(plan=plan_of(asked))
        self.told = Told()
        self.identities = identities or Identities()
        time = HandTime()
        self.client = ClientSide(self.ctx, self.told, Watchdog(self.ctx, time), time)

    async def run(self) -> Told:
        await relay_pieces(self.ctx, self.reply, self.client, await self.reply.read(), self.identities)
        return self.told


def cut(body: bytes, pieces: int, *, framed: bool = True) -> FakeReply:
    step = -(-len(body) // pieces)
    parts = [body[at : at + step] for at in range(0, len(body), step)]
    return FakeReply(*parts, content_length=len(body) if framed else None)


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_batch_of_vectors_is_not_put_together(pieces: int) -> None:
    passed = Pass(cut(LONG, pieces))
    told = await passed.run()
    assert (told.body, told.complete, len(told.parts)) == (LONG, True, pieces)
    assert told.header(b"content-length") == b"%d" % len(LONG)
    assert passed.ctx.usage == Usage(5, 0)


@pytest.mark.parametrize("body", [LONG, TOO_LONG], ids=["held", "not held"])
async def test_pieces_are_renamed_with_their_length_stated(body: bytes) -> None:
    told = await Pass(cut(body, 5), ALIAS).run()
    assert told.complete
    assert told.body == body.replace(b"qwen", ALIAS.encode())
    assert told.header(b"content-length") == b"%d" % len(told.body)
    assert len(told.parts) >= 5


async def test_a_name_that_stands_elsewhere_is_found_in_all_of_the_pieces() -> None:
    body = LONG.replace(b'"model":"qwen",', b"")[:-1] + b',"model":"qwen"}'
    told = await Pass(cut(body, 3), ALIAS).run()
    assert orjson.loads(told.body) == {**orjson.loads(body), "model": ALIAS}
    assert told.header(b"content-length") == b"%d" % len(told.body)


async def test_an_answer_of_stated_length_is_passed_on_with_it_though_it_is_not_held() -> None:
    told = await Pass(cut(TOO_LONG, 5)).run()
    assert (told.body, told.complete) == (TOO_LONG, True)
    assert told.header(b"content-length") == b"%d" % len(TOO_LONG)


@pytest.mark.parametrize(
    ("behind", "framed"),
    [(b',"model":"qwen"}', True), (b"}", False)],
    ids=["the name comes late", "no stated length"],
)
async def test_a_length_that_is_not_known_yet_is_not_stated(behind: bytes, *, framed: bool) -> None:
    body = vectors(2 * HOLD_BYTES).replace(b'"model":"qwen",', b"")[:-1] + behind
    told = await Pass(cut(body, 5, framed=framed), ALIAS).run()
    assert told.complete
    assert told.header(b"content-length") is None


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize(
    "body",
    [LONG[:-1], LONG + b"}", LONG.replace(b'"usage"', b"usage"), LISTED[:-1], LISTED.replace(b'["0x', b'[,"0x')],
    ids=["no end", "two ends", "no JSON", "no end of texts", "no JSON in texts"],
)
async def test_a_long_answer_that_is_no_json_is_not_shown(body: bytes, pieces: int) -> None:
    passed = Pass(cut(body, pieces))
    with pytest.raises(BadGatewayError, match="no whole JSON"):
        await passed.run()
    assert passed.told.status == 0


async def test_numbers_are_gone_through_where_nothing_tells_that_all_came() -> None:
    passed = Pass(cut(LONG.replace(b"[-0.01", b"[-0.0.1"), 3, framed=False))
    with pytest.raises(BadGatewayError, match="no whole JSON"):
        await passed.run()


@pytest.mark.parametrize("pieces", [1, 3])
async def test_an_error_beside_vectors_gets_the_status_that_it_states(pieces: int) -> None:
    stated = b',"error":{"message":"Too many.","type":"BadRequestError","code":400}}'
    passed = Pass(cut(LONG[:-1] + stated, pieces))
    with pytest.raises(StatedError, match="Too many") as failure:
        await passed.run()
    assert (failure.value.status, passed.told.status) == (400, 0)


@pytest.mark.parametrize("body", [LONG, TOO_LONG], ids=["held", "not held"])
async def test_a_long_answer_to_another_request_is_not_given_away(body: bytes) -> None:
    identities = Identities()
    own = Pass(FakeReply(), identities=identities)
    own.reply = cut(body.replace(b"embd-1", b"embd-" + own.ctx.request_id.encode()), 3)
    await own.run()
    foreign = Pass(cut(body, 3), identities=identities)
    with pytest.raises(ForeignAnswerError):
        await foreign.run()
    assert (foreign.told.status, foreign.reply.discarded) == (0, True)


async def test_an_answer_that_breaks_off_before_the_bound_leaves_room_for_a_status() -> None:
    passed = Pass(FakeReply(LONG[:40_000], LONG[40_000:50_000], MayHaveRun("cut"), content_length=len(LONG)))
    with pytest.raises(MayHaveRun):
        await passed.run()
    assert passed.told.status == 0


async def test_a_first_piece_of_a_few_bytes_hides_no_error() -> None:
    passed = Pass(FakeReply(b'{"er', b'ror":"' + b"1" * HOLD_BYTES, b'"}'))
    with pytest.raises(BadGatewayError, match="stopped"):
        await passed.run()
    assert passed.told.status == 0


async def test_no_more_is_taken_than_is_held_before_the_client_gets_some() -> None:
    passed = Pass(cut(vectors(3 * HOLD_BYTES), 7))
    sent_after: list[int] = []
    send = passed.told.__call__

    async def noting(message: Message) -> None:
        sent_after.append(passed.reply.reads)
        await send(message)

    passed.client = ClientSide(passed.ctx, noting, Watchdog(passed.ctx, time := HandTime()), time)
    await passed.run()
    assert sent_after[0] == 3
