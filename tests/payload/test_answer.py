"""Is a whole answer read and renamed as it should be?"""

import orjson
import pytest

from gateway.core.usage import Usage
from gateway.payload.answer import Answer, UnreadableAnswerError, read_answer, rename_head, rename_model

CHAT = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1795225026,"model":"qwen","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"\\"model\\":\\"qwen\\""},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":29,"total_tokens":31,"completion_tokens":2}}'
)
RESPONSE = (
    b'{"id":"resp_1","created_at":1,"metadata":{"model":"qwen"},"model":"qwen","object":"response","status":"%b",'
    b'"usage":{"input_tokens":29,"output_tokens":2}}'
)
MESSAGE = (
    b'{"id":"chatcmpl-1","type":"message","role":"assistant","content":[],"model":"qwen","stop_reason":%b,'
    b'"usage":{"input_tokens":29,"output_tokens":2}}'
)

ABORTED = Answer(aborted=True)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (CHAT, Answer(Usage(29, 2))),
        (CHAT.replace(b'"finish_reason":"stop"', b'"finish_reason":"abort"'), Answer(Usage(29, 2), aborted=True)),
        (RESPONSE % b"completed", Answer(Usage(29, 2))),
        (RESPONSE % b"incomplete", Answer(Usage(29, 2))),
        (RESPONSE % b"cancelled", Answer(Usage(29, 2), aborted=True)),
        (RESPONSE % b"failed", Answer(Usage(29, 2), aborted=True)),
        (MESSAGE % b'"end_turn"', Answer(Usage(29, 2))),
        (MESSAGE % b"null", Answer(Usage(29, 2), aborted=True)),
        (b'{"object":"list","data":[],"usage":{"prompt_tokens":5,"completion_tokens":0}}', Answer(Usage(5, 0))),
        (b'{"results":[],"usage":{"prompt_tokens":5,"total_tokens":5}}', Answer(Usage(5, 0))),
        (b'{"usage":null}', Answer()),
        (b'{"object":"list","status":"failed","usage":null}', Answer()),
        (b'{"usage":{}}', Answer()),
        (b'{"input_tokens":5}', Answer()),
        (b"[1]", Answer()),
        (b'{"usage":{"prompt_tokens":"many"}}', Answer()),
        (b'{"choices":{},"usage":{"prompt_tokens":5}}', Answer()),
        (b'{"status":1,"error":null}', Answer()),
        (CHAT.replace(b'"stop"', b'"abort"').replace(b'{"prompt_tokens"', b'"none","was":{"prompt_tokens"'), ABORTED),
        (CHAT.replace(b'"stop"}', b'"abort"},{"finish_reason":5},7').replace(b"usage", b"used"), ABORTED),
        (CHAT.replace(b'"stop"}]', b'"abort"}],"stop_reason":5').replace(b"usage", b"used"), ABORTED),
        (CHAT.replace(b'"stop"}]', b'"stop"}],"stop_reason":5').replace(b"usage", b"used"), Answer()),
        (RESPONSE.replace(b"{", b'{"stop_reason":{},', 1) % b"cancelled", ABORTED),
        (MESSAGE.replace(b"{", b'{"status":1,', 1) % b"null", ABORTED),
        (MESSAGE % b"5", Answer()),
        (b'{"type":1,"object":"error"}', Answer(failed=True)),
        (b'{"status":1,"error":{"message":"x"}}', Answer(failed=True)),
        (b'{"error":{"message":"x"}}', Answer(failed=True)),
        (b'{ "error" : "x" }', Answer(failed=True)),
        (b'{"type":"error","error":{"type":"api_error","message":"x"}}', Answer(failed=True)),
        (b'{"object":"error","message":"x","code":400}', Answer(failed=True)),
        (b'{"id":"x","choices":[],"error":{"code":1},"usage":{"prompt_tokens":5}}', Answer(Usage(5, 0), failed=True)),
        (RESPONSE.replace(b"{", b'{"error":null,', 1) % b"completed", Answer(Usage(29, 2))),
        (CHAT.replace(b"qwen", b'\\"error\\":{', 1), Answer(Usage(29, 2))),
    ],
)
def test_an_answer_states_its_usage_and_whether_it_is_one(body: bytes, answer: Answer) -> None:
    assert read_answer(body) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff",
        b'{"a":1,,}',
        CHAT.replace(b'"choices"', b',"choices"'),
        CHAT[:-1],
        CHAT + b"}",
        b"[1, 2",
        b'{"choices":{},"a":1,,}',
        b'{"choices":[{"finish_reason":"\xff"}]}',
        pytest.param(b'{"a":%b}' % (b"[" * 10_000), id="10,000 lists"),
    ],
)
def test_what_is_no_whole_json_is_no_answer(body: bytes) -> None:
    with pytest.raises(UnreadableAnswerError):
        read_answer(body)


@pytest.mark.parametrize(
    "body",
    [
        CHAT,
        RESPONSE % b"completed",
        MESSAGE % b"null",
        b'{"id":"score-1","model":"qwen","results":[]}',
        b'{"model": "q"}',
    ],
)
def test_only_the_top_level_name_is_changed(body: bytes) -> None:
    renamed = orjson.loads(rename_model(body, 'alias "1"'))
    assert renamed == {**orjson.loads(body), "model": 'alias "1"'}
    assert list(renamed) == list(orjson.loads(body))


def test_the_usual_head_is_renamed_without_the_rest() -> None:
    head = b'{"id":"embd-1","object":"list","created":1,"model":"a","data":[{"embedding":[0.1,'
    assert rename_model(head, "b") == head.replace(b'"a"', b'"b"')


@pytest.mark.parametrize("body", [b"{}", b'{"data":[]}', b"[]", b"<html>", b'{"a":"\xff', b""])
def test_what_states_no_model_is_left_as_it_is(body: bytes) -> None:
    assert rename_model(body, "alias") is body


def chat(name: bytes, before: bytes = b'"id":"chatcmpl-1"') -> bytes:
    return b'{%b,"model":"%b","choices":[]}' % (before, name)


@pytest.mark.parametrize("body", [chat(b"a"), chat(b"a", b'"made":"up","n":1'), b'{"model":"a"}'])
def test_a_name_in_the_head_is_replaced_without_reading_the_rest(body: bytes) -> None:
    assert rename_head(body, "b") == body.replace(b'"a"', b'"b"')


@pytest.mark.parametrize(
    "body",
    [
        chat(b"a", b'"tool":{"n":1}'),
        chat(b"a", b'"tools":["x"]'),
        chat(b"a", rb'"id":"\""'),
        chat(rb"a\"c"),
        b'{"tool":{"model":"a"}}',
        b'{"tools":["model","a"]}',
        b'[{"model":"a"}]',
        rb'{"id":"\",\"model\":\"a"}',
        b'{"model": "a"}',
        b'{"model":"a',
        b'{"id":"%b","model":"a"}' % (b"x" * 1024),
        b"",
    ],
)
def test_a_name_that_may_not_be_the_answers_own_is_left_to_a_parser(body: bytes) -> None:
    assert rename_head(body, "b") is None
