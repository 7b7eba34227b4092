"""Is of a body read what its real reader will read? Python's parser and pydantic, which vLLM has, know."""

import json  # noqa: TID251 -- vLLM reads bodies with it, so it is the oracle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gateway.core.endpoint import Dialect
from gateway.core.errors import BadRequestError
from gateway.payload.answer import UnreadableAnswerError, read_answer, rename_head, rename_model
from gateway.payload.outline import outline
from gateway.payload.passing import EDGE_BYTES, PassingJson
from gateway.payload.peek import LARGE_BYTES, Peek, peek
from gateway.payload.splice import splice
from tests.fuzz.damage import CUTS, damaged, pieces
from tests.fuzz.effort import examples

texts = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["a", "{", '"', "\\", '"model":"qwen"', "\n"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-9, 99)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(["2", "2.0", " 7 ", "+3", "-1", "1e3", "0x2", "", "true", "1_000", "9" * 30, 2.0, 2.5, 1e300])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
flags = st.booleans() | st.none()
counts = st.none() | st.integers(-9, 99) | st.sampled_from(["2", "2.0", " 7 ", "+3", 4.0, True, 2**63, 2**64, "9" * 30])
options = st.fixed_dictionaries({}, optional={"include_usage": flags, "continuous_usage_stats": flags, "x": values})
known = {
    "model": texts | st.none(),
    "stream": flags,
    "stream_options": options | st.none(),
    "max_tokens": counts,
    "max_completion_tokens": counts,
    "max_output_tokens": counts,
    "n": counts,
    "previous_response_id": texts | st.none(),
    "background": flags,
    "store": flags,
    "prompt": st.lists(texts, max_size=4) | st.lists(st.integers(0, 9), max_size=4) | texts | values,
    "input": st.lists(texts, max_size=4) | texts | values,
    "documents": st.lists(texts, max_size=4) | values,
    "messages": values,
    "seed": values,
}


def member(name: str) -> st.SearchStrategy[tuple[str, Any]]:
    """A member that means something, now and then of any type at all."""
    return st.tuples(st.just(name), st.integers(0, 9).flatmap(lambda odd: known[name] if odd else scalars | values))


anything = st.sampled_from(sorted(known)).flatmap(member)
requests = st.lists(anything | anything | anything | st.tuples(texts, values), max_size=12)
WORDS = [
    *(b"", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\\n", b"\0", b"\xff", b"\xc3"),
    *(b" ", b"\n", b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-", b"0", b"00", b".5", b"1.", b"/**/", b"'"),
    *(b',"model":"x"', b',"n":7', b',"stream":true', b'"\\u006eodel"', b'"\\u006e":', b"\xef\xbb\xbf", b"9" * 25),
]


def spelled(members: list[tuple[str, Any]], *, ascii_only: bool, blank: str) -> bytes:
    """A JSON object of these members in this order, repeated ones included."""
    inside = ",".join(
        f"{blank}{json.dumps(name, ensure_ascii=ascii_only)}:{blank}{json.dumps(value, ensure_ascii=ascii_only)}"
        for name, value in members
    )
    return f"{blank}{{{inside}{blank}}}{blank}".encode()


bodies = st.builds(spelled, requests, ascii_only=st.booleans(), blank=st.sampled_from(["", " ", "\r\n\t"]))


class Options(BaseModel):
    """As vLLM declares them."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class Oracle(BaseModel):
    """What vLLM's own models make of the members that decide, in pydantic's lax way."""

    model: str | None = None
    stream: bool | None = None
    stream_options: Options | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    store: bool | None = None

    def peeked(self, whole: dict[str, Any]) -> Peek:
        asked = self.stream_options or Options()
        bounds = [self.max_tokens, self.max_completion_tokens, self.max_output_tokens]
        return Peek(
            model=self.model or None,
            stream=self.stream is True,
            include_usage=asked.include_usage is True,
            continuous_usage=asked.continuous_usage_stats is True,
            max_tokens=max((bound for bound in bounds if bound is not None), default=None),
            n=1 if self.n is None else self.n,
            prompts=_batch(whole.get("prompt")),
            inputs=_batch(whole.get("input")),
            documents=len(whole["documents"]) if isinstance(whole.get("documents"), list) else 0,
            previous_response_id=bool(self.previous_response_id),
            background=self.background is True,
            store=self.store is True,
        )


def _batch(value: object) -> int:
    """A list is a batch, unless it is one of token numbers."""
    if not isinstance(value, list):
        return 1
    numbers = value and isinstance(value[0], int | float) and not isinstance(value[0], bool)
    return 1 if numbers else len(value)


def refuse(word: str) -> None:
    raise ValueError(word)


def parsed(body: bytes) -> Any:
    """What Python's parser reads, which takes the words that are no JSON only where it is told to."""
    return json.loads(body.decode("utf-8", "replace"), parse_constant=refuse)


def without_repeated(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object as any writer writes it."""
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("repeated")
    return found


def peeked(body: bytes) -> Peek | None:
    try:
        return peek(body)
    except BadRequestError:
        return None


@examples(300)
@given(damaged(bodies, WORDS, most=2))
def test_what_is_peeked_is_what_vllm_will_read(body: bytes) -> None:
    seen = peeked(body)
    if seen is None:
        return
    whole = json.loads(body.decode("utf-8", "replace"))
    try:
        oracle = Oracle.model_validate(whole)
    except ValidationError:
        return  # vLLM will refuse it
    assert seen == oracle.peeked(whole)


@examples(150)
@given(damaged(bodies, WORDS, most=2))
def test_a_large_body_is_read_as_a_small_one_is(body: bytes) -> None:
    try:
        json.loads(body.decode(), object_pairs_hook=without_repeated)
    except (ValueError, RecursionError):
        return  # of a large body all names are read, and of members that are repeated the last alone
    assert peeked(b" " * LARGE_BYTES + body + b" ") == peeked(body)


@examples(300)
@given(damaged(bodies, WORDS, most=2), st.dictionaries(st.sampled_from(sorted(known)), values, min_size=1, max_size=3))
def test_a_splice_into_whatever_was_peeked_changes_those_members_alone(body: bytes, update: dict[str, Any]) -> None:
    if peeked(body) is None:
        return
    spliced = splice(body, json.dumps(update)[1:-1].encode())
    assert json.loads(spliced.decode("utf-8", "replace")) == {**json.loads(body.decode("utf-8", "replace")), **update}


@examples(300)
@given(damaged(bodies, WORDS, most=2))
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    try:
        sound = isinstance(parsed(body), dict)
    except (ValueError, RecursionError):
        sound = False
    if not sound:
        assert peeked(body) is None


words = st.sampled_from(
    ["error", "abort", "stop", "cancelled", "failed", "completed", "message", "response", "list", "x"]
)
figures = st.fixed_dictionaries({"prompt_tokens": st.integers(0, 99), "completion_tokens": st.integers(0, 99)})
choices = st.lists(st.fixed_dictionaries({"finish_reason": words | st.none(), "text": texts}), max_size=3)
failures = st.none() | texts | st.fixed_dictionaries({"message": texts, "code": st.integers(400, 599)})
names = texts | st.sampled_from(["model", 'a"model', "usage", "error"])
around = {
    "id": texts,
    "usage": figures | st.none(),
    "error": failures,
    "metadata": st.just({"model": "qwen"}) | st.dictionaries(names, values | st.just("qwen"), max_size=2),
    'a"model': st.just("qwen"),
    "data": st.lists(st.lists(st.floats(-1, 1), max_size=3), max_size=3) | values,
}
model = st.just("qwen") | texts
ended = words | st.none()
answers = st.one_of(
    st.fixed_dictionaries({}, optional={**around, "object": ended, "model": model, "choices": choices}),
    st.fixed_dictionaries({"object": st.just("response"), "status": ended}, optional={**around, "model": model}),
    st.fixed_dictionaries({"type": st.just("message"), "stop_reason": ended}, optional={**around, "model": model}),
    st.fixed_dictionaries({}, optional={**around, "model": model, "object": ended, "type": words, "status": ended}),
)


def dumped(answer: dict[str, Any], indent: int | None = None) -> bytes:
    """As vLLM writes it: without blanks; or as nobody does."""
    separators = (",", ": " if indent else ":")
    return json.dumps(answer, ensure_ascii=False, separators=separators, indent=indent).encode()


FAILED = st.sampled_from([{"choices": [{"finish_reason": "abort"}]}, {"error": {"code": 500}}])
SIGNS = [*WORDS, b'"error":{"a":1},', b'"object":"error",', b'"finish_reason":"abort",', b"],", b",["]


def stated(body: bytes) -> tuple[bool, bool] | None:
    try:
        answer = read_answer(body)
    except UnreadableAnswerError:
        return None
    return answer.failed, answer.aborted


@examples(300)
@given(answers)
def test_an_answer_fails_where_a_parser_sees_that_it_does(answer: dict[str, Any]) -> None:
    failed = answer.get("object") == "error" or bool(answer.get("error"))
    if "choices" in answer:
        aborted = any(choice["finish_reason"] == "abort" for choice in answer["choices"])
    elif answer.get("object") == "response":
        aborted = answer.get("status") in {"cancelled", "failed"}
    else:
        aborted = answer.get("type") == "message" and answer.get("stop_reason") is None
    assert stated(dumped(answer)) == (failed, aborted)


@examples(300)
@given(damaged(answers.map(dumped), SIGNS, most=2), CUTS)
def test_an_outline_hides_nothing_that_the_whole_document_states(body: bytes, cuts: list[int]) -> None:
    outlined = outline(pieces(body, cuts))
    if outlined is None:
        return
    seen, whole = stated(outlined), stated(body)
    assert seen is not None
    if whole is not None:
        assert seen >= whole


@examples(300)
@given(damaged(answers.map(dumped), WORDS, most=1), st.integers(0, 400))
def test_a_renamed_answer_says_the_same_under_the_other_name(body: bytes, length: int) -> None:
    try:
        before = json.loads(body, object_pairs_hook=without_repeated)
    except ValueError:
        return
    if not isinstance(before, dict) or stated(body) is None:
        return  # what cannot be read is never renamed
    expected = {**before, "model": 'alias "1"'} if "model" in before else before
    assert json.loads(rename_model(body, 'alias "1"')) == expected
    beginning = rename_head(body[:length], 'alias "1"')
    if beginning is not None:
        assert json.loads(beginning + body[length:]) == expected


@examples(200)
@given(answers | FAILED, st.integers(EDGE_BYTES - 80, EDGE_BYTES), CUTS, st.booleans())
def test_what_passes_unread_is_stopped_where_reading_it_would_have_stopped_it(
    answer: dict[str, Any],
    length: int,
    cuts: list[int],
    indented: bool,  # noqa: FBT001 -- hypothesis gives arguments by position
) -> None:
    body = dumped({"text": "x" * length, **answer, "more": "x" * EDGE_BYTES}, indent=2 if indented else None)
    passing = PassingJson(Dialect.OPENAI, framed=False)
    for piece in [body[:EDGE_BYTES], *pieces(body[EDGE_BYTES:], cuts)]:
        passing.feed(piece)
    assert passing.whole()
    assert passing.broken or not any(choice["finish_reason"] == "abort" for choice in answer.get("choices", []))
    assert passing.broken or not isinstance(answer.get("error"), dict)
    assert not PassingJson(Dialect.OPENAI, framed=False).whole()
