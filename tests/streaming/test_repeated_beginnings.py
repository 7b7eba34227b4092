"""A chunk that begins as the one before it is passed a shorter way, with the same result."""

import itertools

import pytest

from gateway.core.endpoint import Dialect
from gateway.core.usage import Usage
from gateway.streaming.events import StreamFailure
from gateway.streaming.relay import StreamRelay
from gateway.streaming.usage import UsageCut

HEAD = b'data: {"id":"c-1","object":"chat.completion.chunk","created":17,"model":"qwen","choices":[{"index":'
FIGURES = b'"usage":{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2}'
MORE_FIGURES = b'"usage":{"prompt_tokens":3,"total_tokens":12,"completion_tokens":9}'
FIRST = HEAD + b'0,"delta":{"content":"a"},"finish_reason":null}],' + FIGURES + b"}\n\n"

SECONDS = {
    "the usual": HEAD + b'0,"delta":{"content":"b"},"finish_reason":null}],' + MORE_FIGURES + b"}\n\n",
    "no figures": HEAD + b'0,"delta":{"content":"b"},"finish_reason":null}]}\n\n',
    "figures that hold an object": HEAD
    + b'0,"delta":{"content":"b"},"finish_reason":null}],"usage":{"prompt_tokens":3,"completion_tokens":9,'
    + b'"prompt_tokens_details":{"cached_tokens":1}}}\n\n',
    "a member behind the figures": HEAD
    + b'0,"delta":{"content":"b"},"finish_reason":null}],'
    + MORE_FIGURES
    + b',"note":{}}\n\n',
    "another choice": HEAD + b'1,"delta":{"content":"b"},"finish_reason":null}],' + MORE_FIGURES + b"}\n\n",
    "a choice whose index begins the same": HEAD
    + b'01,"delta":{"content":"b"},"finish_reason":null}],'
    + MORE_FIGURES
    + b"}\n\n",
    "a text that looks like figures": HEAD
    + rb'0,"delta":{"content":"}],\"usage\":{}"},"finish_reason":null}],'
    + MORE_FIGURES
    + b"}\n\n",
    "a model's name in the text": HEAD
    + rb'0,"delta":{"content":"\"model\":\"qwen\""},"finish_reason":null}],'
    + MORE_FIGURES
    + b"}\n\n",
    "given up": HEAD + b'0,"delta":{},"finish_reason":"abort"}],' + MORE_FIGURES + b"}\n\n",
    "given up, no figures": HEAD + b'0,"delta":{},"finish_reason":"abort"}]}\n\n',
    "given up, with blanks": HEAD + b'0,"delta":{},"finish_reason": "abort"}],' + MORE_FIGURES + b"}\n\n",
    "given up, behind the figures": HEAD
    + b'0,"delta":{}}],'
    + MORE_FIGURES
    + b',"choices":[{"index":0,"finish_reason":"abort"}]}\n\n',
    "an error behind the choices": HEAD + b'0,"delta":{}}],"error":{"message":"engine died"}}\n\n',
    "an error before the figures": HEAD + b'0,"delta":{}}],"error":{"code":500},"usage":{"prompt_tokens":3}}\n\n',
    "an error that is none": HEAD + b'0,"delta":{"content":"b"}}],"error":null,' + MORE_FIGURES + b"}\n\n",
    "an empty error": HEAD + b'0,"delta":{"content":"b"}}],"error":{},' + MORE_FIGURES + b"}\n\n",
    "an error's name": HEAD + b'0,"delta":{}}],"object":"error"}\n\n',
    "an end that nobody knows": HEAD + b'0,"delta":{},"finish_reason":"tired"}],' + MORE_FIGURES + b"}\n\n",
    "broken inside": HEAD + b'0,"delta":{"content":b},"finish_reason":null}],' + MORE_FIGURES + b"}\n\n",
    "broken at its end": HEAD + b'0,"delta":{"content":"b"}\n\n',
    "two objects": HEAD + b'0,"delta":{}}]}{}\n\n',
    "no object's end": HEAD + b'0,"delta":{}}]} \n\n',
    "two events": 2 * (HEAD + b'0,"delta":{"content":"b"},"finish_reason":null}],' + MORE_FIGURES + b"}\n\n"),
    "an event and a comment": HEAD + b'0,"delta":{"content":"b"}}]}\n\n: ping\n\n',
    "an event and a field": HEAD + b'0,"delta":{"content":"b"}}]}\nid: 7\n\n',
    "an event and the end": HEAD + b'0,"delta":{"content":"b"}}]}\n\ndata: [DONE]\n\n',
    "an event and a beginning": HEAD + b'0,"delta":{"content":"b"}}]}\n\nd',
    "half an event": HEAD + b'0,"delta":{"content":"b"}}]}\n',
    "a byte instead of its blank line": HEAD + b'0,"delta":{"content":"b"}}]}\nX',
    "carriage returns": HEAD + b'0,"delta":{"content":"b"}}]}\r\n\r\n',
    "a carriage return inside": HEAD + b'0,"delta":{"content":"b"}}]\r}\n\n',
}

Verdict = tuple[bytes, StreamFailure | None, bool, int, Usage | None]


class Matching(StreamRelay):
    """One that knows nothing of the short way."""

    def feed_usual(self, data: bytes) -> bytes:
        del data
        return b""


def relayed(pieces: list[bytes], cut: UsageCut, model: str | None, kind: type[StreamRelay] = StreamRelay) -> Verdict:
    relay = kind(Dialect.OPENAI, model=model, cut_usage=cut)
    out = b"".join([relay.feed(piece) for piece in pieces])
    return out, relay.failure, relay.ended, relay.tokens, relay.usage


@pytest.mark.parametrize("second", SECONDS.values(), ids=SECONDS)
@pytest.mark.parametrize(
    ("cut", "model"), list(itertools.product(UsageCut, [None, "Qwen/Qwen2.5-7B-Instruct"])), ids=str
)
def test_a_chunk_passes_as_it_would_in_one_piece_with_the_one_before(
    second: bytes, cut: UsageCut, model: str | None
) -> None:
    behind = HEAD + b'0,"delta":{"content":"c"},"finish_reason":null}],' + FIGURES + b"}\n\n"
    stream = [FIRST, second, behind]
    matched = relayed([b"".join(stream)], cut, model, Matching)
    assert relayed(stream, cut, model) == matched
    assert relayed([b"".join(stream)], cut, model) == matched
    assert relayed([FIRST, second[:9], second[9:], behind], cut, model) == matched


def test_a_chunk_that_begins_as_usual_is_matched_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = StreamRelay(Dialect.OPENAI, cut_usage=UsageCut.ALL)
    relay.feed(FIRST)
    monkeypatch.setattr(relay, "_grammar", None)
    assert relay.feed_usual(SECONDS["the usual"]) == SECONDS["no figures"]


@pytest.mark.parametrize(
    "before",
    [[], [FIRST, SECONDS["given up"]], [FIRST, b"data: [DONE]\n\n"], [FIRST, FIRST[:50]]],
    ids=["the first", "behind a failure", "behind the end", "in an event"],
)
def test_what_has_no_usual_one_before_it_is_not_passed_the_short_way(before: list[bytes]) -> None:
    relay = StreamRelay(Dialect.OPENAI, cut_usage=UsageCut.ALL)
    for piece in before:
        relay.feed(piece)
    assert relay.feed_usual(SECONDS["the usual"]) == b""


def test_an_event_over_the_bound_is_not_passed_the_short_way() -> None:
    relay = StreamRelay(Dialect.OPENAI, max_event_bytes=len(FIRST))
    relay.feed(FIRST)
    assert relay.feed_usual(SECONDS["the usual"].replace(b'"b"', b'"bbb"')) == b""


def test_choices_whose_numbers_begin_alike_are_counted_apart() -> None:
    one, twelve = (FIRST.replace(b'"index":0', b'"index":%d' % index) for index in (1, 12))
    *_, usage = relayed([one, twelve, one], UsageCut.ALL, None)
    assert usage == Usage(6, 4)


@pytest.mark.parametrize("before", [b"", b"data: [DONE]\n\n", b"data: <html>\n\n", FIRST[:40]])
def test_what_follows_a_line_end_is_no_chunk_that_began_before(before: bytes) -> None:
    rest = b'\r"a":1}]}\n\n'
    split, whole = StreamRelay(Dialect.OPENAI), StreamRelay(Dialect.OPENAI)
    out = split.feed(before) + split.feed(rest)
    assert out == whole.feed(before + rest)
    assert b'"a":1' not in out
    assert (split.tokens, split.failure, split.ended) == (0, whole.failure, whole.ended)
