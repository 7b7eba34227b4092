"""Requests have one key if and only if they may share an answer."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.key import key_of
from tests.cache.requests import planned
from tests.core.requests import CHAT, EMBEDDINGS

texts = st.text(st.sampled_from("a',()\\1"), max_size=3)
questions = st.tuples(
    texts, texts, texts, st.binary(max_size=2), st.integers(0, 11), st.sampled_from((CHAT, EMBEDDINGS))
)


def key(question: tuple[object, ...]) -> bytes:
    organization, group, asked, body, version, endpoint = question
    ctx = planned(organization=organization, group=group, asked=asked, body=body, endpoint=endpoint)  # type: ignore[arg-type]  # drawn of these types
    return key_of(ctx, version)  # type: ignore[arg-type]  # the same


@given(questions, questions)
def test_what_differs_in_anything_has_another_key(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert (key(one) == key(other)) is (one == other)


def test_a_key_has_32_bytes() -> None:
    assert len(key_of(planned(), 0)) == 32
