"""Is an answer that is too large to hold known by its bytes, whatever pieces they come in?"""

import pytest

from gateway.core.endpoint import Dialect
from gateway.core.usage import Usage
from gateway.payload.passing import EDGE_BYTES, PassingBytes, PassingJson

FIGURES = b'"usage":{"prompt_tokens":29,"total_tokens":31,"completion_tokens":2,"details":{"cached_tokens":0}}'
LONG = b"x" * (3 * EDGE_BYTES)
CHAT = (
    b'{"id":"chatcmpl-1","choices":[{"message":{"content":"' + LONG + b'"},"finish_reason":"stop"}],' + FIGURES + b"}"
)
RANKED = b'{"id":"score-1",' + FIGURES + b',"results":["' + LONG + b'"]}\n'
RESPONSE = b'{"id":"r","output":["' + LONG + b'"],"status":"completed","usage":{"input_tokens":29,"output_tokens":2}}'
MESSAGE = b'{"type":"message","content":["' + LONG + b'"],"stop_reason":"end_turn","usage":{"input_tokens":29}}'
STEPS = [1, 7, EDGE_BYTES, 1 << 20]


def passed(body: bytes, step: int, dialect: Dialect = Dialect.OPENAI) -> PassingJson:
    passing = PassingJson(dialect, framed=False)
    for at in range(0, len(body), step):
        passing.feed(body[at : at + step])
    return passing


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("body", "dialect", "usage"),
    [
        (CHAT, Dialect.OPENAI, Usage(29, 2)),
        (RANKED, Dialect.OPENAI, Usage(29, 2)),
        (CHAT.replace(b":", b" : "), Dialect.OPENAI, Usage(29, 2)),
        (RESPONSE, Dialect.RESPONSES, Usage(29, 2)),
        (MESSAGE, Dialect.ANTHROPIC, Usage(29, 0)),
        (CHAT.replace(FIGURES, b'"usage":null'), Dialect.OPENAI, None),
        (CHAT.replace(b"29", b"-"), Dialect.OPENAI, None),
        (CHAT[:-1] + b',"usage":{}}', Dialect.OPENAI, Usage(29, 2)),
        (CHAT.replace(b"xxx", b'\\"usage\\":{\\"prompt_tokens\\":1}'), Dialect.OPENAI, Usage(29, 2)),
    ],
    ids=["chat", "ranked", "blanks", "response", "message", "null", "unreadable", "empty", "in a text"],
)
def test_figures_are_found_wherever_they_stand(body: bytes, dialect: Dialect, usage: Usage | None, step: int) -> None:
    passing = passed(body, step, dialect)
    assert (passing.usage, passing.broken, passing.whole()) == (usage, False, True)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("body", "dialect"),
    [
        (CHAT.replace(b'"stop"', b'"abort"'), Dialect.OPENAI),
        (CHAT.replace(b':"stop"', b' : "abort"'), Dialect.OPENAI),
        (CHAT.replace(FIGURES, b'"error":{"message":"x"}'), Dialect.OPENAI),
        (RESPONSE.replace(b"completed", b"cancelled"), Dialect.RESPONSES),
    ],
)
def test_a_failure_is_seen_wherever_it_stands(body: bytes, dialect: Dialect, step: int) -> None:
    assert passed(body, step, dialect).broken


NUMBERS = b"0.25,-1e-05," * EDGE_BYTES


@pytest.mark.parametrize(
    "at", [0, 1, EDGE_BYTES - 9, 2 * EDGE_BYTES - 9, 5 * EDGE_BYTES // 2, 6 * EDGE_BYTES, 12 * EDGE_BYTES - 9]
)
@pytest.mark.parametrize(
    ("member", "dialect", "usage", "broken"),
    [
        (FIGURES, Dialect.OPENAI, Usage(29, 2), False),
        (FIGURES, Dialect.RESPONSES, Usage(29, 2), False),
        (FIGURES, Dialect.ANTHROPIC, Usage(29, 2), False),
        (b'"error":{}', Dialect.OPENAI, None, True),
        (b'"finish_reason":"abort"', Dialect.OPENAI, None, True),
        (b'"status":"cancelled"', Dialect.RESPONSES, None, True),
    ],
    ids=["openai", "responses", "messages", "an error", "an abort", "cancelled"],
)
def test_what_stands_among_numbers_is_found_wherever_it_stands(
    member: bytes, dialect: Dialect, usage: Usage | None, *, broken: bool, at: int
) -> None:
    body = NUMBERS[:at] + member + NUMBERS[at:]
    for cut in (len(body), at, at + len(member) // 2, at + len(member), at + len(member) + 1):
        passing = PassingJson(dialect, framed=True)
        passing.feed(body[:cut] or b" ")
        passing.feed(body[cut:] or b" ")
        assert (passing.usage, passing.broken) == (usage, broken)


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("head", [b' { "error" : { "message":"', b'{"error":"', b'{"object":"error","message":"'])
def test_an_error_is_seen_at_its_beginning(head: bytes, dialect: Dialect) -> None:
    assert passed(head + LONG, EDGE_BYTES, dialect).broken


@pytest.mark.parametrize("head", [b'{"error":null,"a":"', b'{"error":{},"a":"', b'{"error":"","a":"'])
def test_an_error_that_says_nothing_is_none(head: bytes) -> None:
    assert not passed(head + LONG, EDGE_BYTES, Dialect.RESPONSES).broken


@pytest.mark.parametrize(
    "body",
    [
        CHAT.replace(b"xxx", b'\\"finish_reason\\":\\"abort\\" \\"error\\":{'),
        CHAT.replace(b'"finish_reason"', b'"stop_reason":"abort","error":null,"finish_reason"'),
    ],
)
@pytest.mark.parametrize("step", STEPS)
def test_words_elsewhere_are_no_failure(body: bytes, step: int) -> None:
    assert not passed(body, step).broken


@pytest.mark.parametrize("step", STEPS)
def test_a_message_without_a_stop_reason_was_given_up(step: int) -> None:
    made = MESSAGE.replace(b"[", b'[{"input":{"stop_reason":null,"error":{}}},')
    assert passed(made, step, Dialect.ANTHROPIC).whole()
    assert not passed(made.replace(b'"end_turn"', b"null"), step, Dialect.ANTHROPIC).whole()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("body", "closed"),
    [
        (CHAT, True),
        (b" \n[" + CHAT + b"] \n", True),
        (rb'{"a":"}]","b":"\"{\\","c\\\"":["\\\\"]}', True),
        (CHAT[:-1], False),
        (CHAT[: len(CHAT) // 2], False),
        (b"[" + CHAT, False),
        (rb'{"a":"\"}', False),
        (rb'{"a":"\\\"}', False),
        (rb'{"a":"}', False),
        (LONG, False),
        (b'"{}"', False),
        (b"{}" + b'"', False),
    ],
    ids=range(12),
)
def test_an_answer_of_unstated_length_is_whole_when_all_is_closed(body: bytes, *, closed: bool, step: int) -> None:
    assert passed(body, step).whole() is closed


def test_an_answer_of_stated_length_is_not_gone_through_for_its_end() -> None:
    passing = PassingJson(Dialect.OPENAI, framed=True)
    passing.feed(CHAT[:-1])
    assert passing.whole()
    assert not PassingJson(Dialect.OPENAI, framed=False).whole()


METADATA = b'{"id": "embd-1", "data": [{"start": 0, "end": 4}, {"start": 4, "end": 8}], "usage": {"prompt_tokens": 5}}'


def test_binary_embeddings_are_as_long_as_their_metadata_say() -> None:
    passing = PassingBytes(METADATA)
    assert passing.usage == Usage(5, 0)
    passing.feed(b"1234")
    assert not passing.whole()
    passing.feed(b"5678")
    assert passing.whole()
    passing.feed(b"9")
    assert not passing.whole()


@pytest.mark.parametrize("metadata", [b"", b"{}", b"no json", b"\xff", b'{"data": []}', b'{"data": 1}'])
def test_metadata_that_say_nothing_bind_nothing(metadata: bytes) -> None:
    passing = PassingBytes(metadata)
    passing.feed(b"1")
    assert (passing.usage, passing.broken, passing.whole()) == (None, False, True)
