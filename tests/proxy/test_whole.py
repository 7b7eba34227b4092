"""A whole answer is checked before its head goes out, where it is small enough to be held."""

from collections.abc import Sequence

import orjson
import pytest

from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.core.usage import Usage
from gateway.proxy.client_side import ClientSide
from gateway.proxy.error_answer import StatedError
from gateway.proxy.identity import Identities
from gateway.proxy.pieces import HOLD_BYTES
from gateway.proxy.watchdog import Watchdog
from gateway.proxy.whole import relay_whole
from gateway.upstream.errors import MayHaveRun
from tests.core.hand_time import HandTime
from tests.core.requests import FakeConnection, Told, context
from tests.proxy.fakes import JSON_FIELD, FakeReply, plan_of, whole

pytestmark = pytest.mark.anyio

ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "qwen",
        "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }
)
ALIAS = "Qwen/Qwen2.5-7B-Instruct"
BINARY: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/octet-stream"), (b"metadata", b"{}"))


class Pass:
    """One whole answer on its way; `direct` where the server has a way to send beside ASGI's."""

    def __init__(self, reply: FakeReply, asked: str = "qwen", *, direct: bool = True) -> None:
        self.reply = reply
        self.told = Told()
        connection = FakeConnection(self.told) if direct else None
        self.ctx: RequestContext = context(plan=plan_of(asked), connection=connection)
        time = HandTime()
        self.client = ClientSide(self.ctx, self.told, Watchdog(self.ctx, time), time)

    async def run(self) -> Told:
        await relay_whole(self.ctx, self.reply, self.client, Identities())
        return self.told


@pytest.mark.parametrize("stated", [True, False], ids=["stated length", "until the end"])
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("direct", [True, False], ids=["directly", "by ASGI"])
async def test_an_answer_is_sent_whole_with_its_length_and_counted(*, stated: bool, pieces: int, direct: bool) -> None:
    cut = len(ANSWER) // pieces
    parts = [ANSWER[:cut], ANSWER[cut : 2 * cut], ANSWER[2 * cut :]] if pieces == 3 else [ANSWER]
    passed = Pass(FakeReply(*parts, content_length=len(ANSWER) if stated else None), direct=direct)
    told = await passed.run()
    assert (told.status, told.body, told.complete) == (200, ANSWER, True)
    assert told.header(b"content-length") == b"%d" % len(ANSWER)
    assert told.header(b"content-type") == b"application/json"
    assert passed.ctx.usage == Usage(5, 2)
    assert not passed.ctx.event_stream


async def test_an_answer_of_stated_length_is_not_waited_for_twice() -> None:
    passed = Pass(whole(ANSWER))
    await passed.run()
    assert passed.reply.reads == 1


async def test_an_alias_is_answered_under_the_name_that_was_asked_for() -> None:
    told = await Pass(whole(ANSWER), ALIAS).run()
    assert orjson.loads(told.body) == {**orjson.loads(ANSWER), "model": ALIAS}
    assert told.header(b"content-length") == b"%d" % len(told.body)


async def test_only_what_describes_the_body_passes_of_a_backends_fields() -> None:
    fields = (JSON_FIELD, (b"content-length", b"9"), (b"set-cookie", b"a=b"), (b"x-request-id", b"theirs"))
    told = await Pass(whole(ANSWER, headers=fields)).run()
    assert [name for name, _ in told.headers] == [b"content-type", b"content-length"]


async def test_binary_embeddings_pass_as_they_are_with_their_description() -> None:
    told = await Pass(whole(b"\x00\x01", headers=BINARY), ALIAS).run()
    assert told.body == b"\x00\x01"
    assert told.header(b"metadata") == b"{}"


async def test_a_large_answer_passes_piece_by_piece_once_it_is_too_large_to_hold() -> None:
    head = b'{"id":"embd-1","object":"list","created":1,"model":"qwen","data":["'
    pieces = [head + b"x" * HOLD_BYTES, b"y" * 1000, b'"]}']
    passed = Pass(FakeReply(*pieces), ALIAS)
    told = await passed.run()
    assert told.header(b"content-length") is None
    assert told.complete
    assert [len(part) for part in told.parts[1:]] == [1000, 3, 0]
    assert orjson.loads(told.body)["model"] == ALIAS
    assert len(told.body) == sum(map(len, pieces)) + len(ALIAS) - len("qwen")


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"choices":[{"text":"', b'"}],"model":"qwen"}'),
        (b'{"id":"resp_1","metadata":{"model":"qwen"},"model":"qwen","output":[{"text":"', b'"}]}'),
        (b'{"id":"chatcmpl-1","content":[{"input":{"model":"qwen"},"text":"', b'"}],"model":"qwen","usage":{}}'),
    ],
    ids=["completion", "response", "message"],
)
@pytest.mark.parametrize("cut", [1, 9, 14, 22])
async def test_a_large_answer_never_states_the_backends_own_name_for_the_model(
    before: bytes, behind: bytes, cut: int
) -> None:
    text = rb"say \"model\":\"qwen\" and { " * (HOLD_BYTES // 20)
    told = await Pass(FakeReply(before + text, text + behind[:-cut], behind[-cut:]), ALIAS).run()
    assert told.complete
    sent = orjson.loads(before + text + text + behind)
    assert orjson.loads(told.body) == {**sent, "model": ALIAS}


async def test_an_answer_of_unstated_length_is_whole_only_as_json() -> None:
    passed = Pass(FakeReply(b'{"id":"x","choices":[{"index":0}'))
    with pytest.raises(BadGatewayError, match="no whole JSON"):
        await passed.run()
    assert passed.told.status == 0


async def test_a_large_answer_that_breaks_off_has_no_end() -> None:
    passed = Pass(FakeReply(LARGE[:-9], LARGE[-9:], MayHaveRun("cut")))
    with pytest.raises(MayHaveRun):
        await passed.run()
    assert passed.told.status == 200
    assert not passed.told.complete


LARGE = ANSWER.replace(b'"hi"', b'"' + b"x" * HOLD_BYTES + b'"')
LARGE_BINARY = b"\x00" * (HOLD_BYTES + 4)
PLACES = b'{"data": [{"end": %d}], "usage": {"prompt_tokens": 5}}' % len(LARGE_BINARY)


@pytest.mark.parametrize("cut", [1, 40, 200, len(LARGE) - HOLD_BYTES])
async def test_the_figures_of_a_large_answer_are_booked(cut: int) -> None:
    passed = Pass(FakeReply(LARGE[:-cut], LARGE[-cut:]))
    told = await passed.run()
    assert (told.body, told.complete) == (LARGE, True)
    assert passed.ctx.usage == Usage(5, 2)


async def test_a_large_answer_of_stated_length_is_not_gone_through_for_its_end() -> None:
    passed = Pass(FakeReply(LARGE[:-9], LARGE[-9:-1], content_length=len(LARGE) - 1))
    assert (await passed.run()).complete


@pytest.mark.parametrize(
    "pieces",
    [
        [LARGE[:-2], LARGE[-2:-1]],
        [LARGE[:-1], b" \n"],
        [b"[" + LARGE[:-1], b"}"],
        [LARGE.replace(b'"stop"', b'"abort"')[:-1], b"}"],
        [LARGE[:-1], b',"error":{"message":"x"}}'],
    ],
    ids=["cut", "cut behind a blank", "half a list", "an abort", "an error"],
)
async def test_a_large_answer_that_is_none_has_no_end(pieces: list[bytes]) -> None:
    passed = Pass(FakeReply(*pieces))
    with pytest.raises(BadGatewayError):
        await passed.run()
    assert not passed.told.complete
    assert passed.ctx.usage == Usage(5, 2)


async def test_a_large_answer_that_begins_as_an_error_leaves_room_for_a_status() -> None:
    passed = Pass(FakeReply(b'{"error":{"message":"' + b"x" * HOLD_BYTES, b'"}}'))
    with pytest.raises(BadGatewayError):
        await passed.run()
    assert passed.told.status == 0


@pytest.mark.parametrize("body", [LARGE_BINARY, LARGE_BINARY[:-1]], ids=["whole", "cut"])
async def test_large_binary_embeddings_are_whole_when_they_are_as_long_as_they_say(body: bytes) -> None:
    passed = Pass(
        FakeReply(body[:-9], body[-9:], headers=((b"content-type", b"application/octet-stream"), (b"metadata", PLACES)))
    )
    if body is LARGE_BINARY:
        await passed.run()
    else:
        with pytest.raises(BadGatewayError, match="no end"):
            await passed.run()
    assert passed.told.body == body
    assert passed.told.complete is (body is LARGE_BINARY)
    assert passed.ctx.usage == Usage(5, 0)


async def test_binary_embeddings_that_are_cut_leave_room_for_a_status() -> None:
    fields = ((b"content-type", b"application/octet-stream"), (b"metadata", b'{"data": [{"end": 8}]}'))
    passed = Pass(FakeReply(b"1234567", headers=fields))
    with pytest.raises(BadGatewayError, match="no end"):
        await passed.run()
    assert passed.told.status == 0


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"error":{"message":"Too many.","type":"BadRequestError","param":"n","code":400}}', 400, "Too many."),
        (b'{ "error" : "It broke." }', 502, "It broke."),
        (
            b'{"object":"error","message":"Too many.","type":"BadRequestError","param":null,"code":400}',
            400,
            "Too many.",
        ),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Busy."}}', 502, "Busy."),
        (b'{"id":"x","choices":[],"error":{"message":"It broke.","code":500}}', 500, "It broke."),
    ],
)
async def test_an_error_in_a_200_gets_the_status_that_it_states(body: bytes, status: int, message: str) -> None:
    passed = Pass(whole(body))
    with pytest.raises(StatedError) as failure:
        await passed.run()
    assert (failure.value.status, failure.value.message, passed.told.status) == (status, message, 0)


async def test_an_aborted_answers_figures_are_booked() -> None:
    passed = Pass(whole(ANSWER.replace(b'"stop"', b'"abort"')))
    with pytest.raises(BadGatewayError, match="stopped"):
        await passed.run()
    assert passed.ctx.usage == Usage(5, 2)


async def test_a_type_is_one_in_any_letters() -> None:
    for body, kind in ((ANSWER, b"Application/JSON; charset=UTF-8"), (b"\x00", b"APPLICATION/octet-stream")):
        told = await Pass(whole(body, headers=[(b"content-type", kind)])).run()
        assert (told.status, told.body) == (200, body)


async def test_a_small_answer_that_breaks_off_leaves_room_for_a_status() -> None:
    passed = Pass(FakeReply(ANSWER[:50], MayHaveRun("cut")))
    with pytest.raises(MayHaveRun):
        await passed.run()
    assert passed.told.status == 0


@pytest.mark.parametrize(
    "reply",
    [
        whole(b"<html>It works</html>"),
        whole(b"<html>", headers=[(b"content-type", b"text/html")]),
        whole(b"{}", headers=[]),
        whole(b""),
        whole(ANSWER.replace(b'"stop"', b'"abort"')),
        FakeReply(ANSWER[:-20]),
        FakeReply(b"[1, 2"),
        whole(b'{"a":1,,}'),
        whole(ANSWER.replace(b'"choices"', b',"choices"')),
        whole(ANSWER + b"}"),
    ],
    ids=[
        "html as json",
        "html",
        "no type",
        "nothing",
        "an abort",
        "half an object",
        "half a list",
        "two commas",
        "two commas in an answer",
        "two ends",
    ],
)
async def test_what_is_no_answer_is_not_shown(reply: FakeReply) -> None:
    passed = Pass(reply)
    with pytest.raises(BadGatewayError) as failure:
        await passed.run()
    assert b"works" not in failure.value.message.encode()
    assert passed.told.status == 0


@pytest.mark.parametrize("body", [b"[]", b"[1]\n", b'{"a": 1}\r\n '])
async def test_any_whole_json_is_an_answer(body: bytes) -> None:
    assert (await Pass(FakeReply(body)).run()).body == body


async def test_figures_that_cannot_be_true_are_not_counted() -> None:
    passed = Pass(whole(ANSWER.replace(b'"completion_tokens":2', b'"completion_tokens":-2')))
    await passed.run()
    assert passed.told.complete
    assert passed.ctx.usage is None
