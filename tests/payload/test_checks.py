"""Is what must not be asked refused, with the field's name and before anything is reserved?"""

import pytest
from pydantic import ValidationError

from gateway.core.endpoint import Dialect
from gateway.core.errors import BadRequestError, UnsupportedFeatureError
from gateway.payload.checks import check_model_fit, check_request
from gateway.payload.peek import Peek
from gateway.payload.settings import PayloadSettings

LIMITS = PayloadSettings()


@pytest.mark.parametrize(
    ("peek", "param"),
    [
        (Peek(previous_response_id=True), "previous_response_id"),
        (Peek(background=True), "background"),
        (Peek(store=True), "store"),
    ],
)
@pytest.mark.parametrize("dialect", Dialect)
def test_state_is_not_kept(peek: Peek, param: str, dialect: Dialect) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        check_request(peek, dialect, LIMITS)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize(
    ("peek", "param", "bound"),
    [
        (Peek(n=129), "n", "128"),
        (Peek(n=16384), "n", "128"),
        (Peek(prompts=2049), "prompt", "2048"),
        (Peek(prompts=1025, n=2), "n", "2048"),
        (Peek(inputs=2049), "input", "2048"),
        (Peek(documents=2049), "documents", "2048"),
    ],
)
def test_one_request_may_not_multiply_itself(peek: Peek, param: str, bound: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_request(peek, Dialect.OPENAI, LIMITS)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert bound in caught.value.message


@pytest.mark.parametrize("peek", [Peek(), Peek(n=128, prompts=16), Peek(prompts=2048), Peek(inputs=2048), Peek(n=0)])
def test_what_is_within_bounds_passes(peek: Peek) -> None:
    check_request(peek, Dialect.OPENAI, LIMITS)


def test_a_long_conversation_is_no_batch() -> None:
    check_request(Peek(inputs=5000), Dialect.RESPONSES, LIMITS)


def test_media_are_refused_as_every_model_reads_text() -> None:
    with pytest.raises(UnsupportedFeatureError):
        check_model_fit(Peek(has_media=True), context=None)


def test_an_answer_cannot_be_longer_than_the_context() -> None:
    with pytest.raises(BadRequestError) as caught:
        check_model_fit(Peek(max_tokens=8193), context=8192)
    assert caught.value.param == "max_tokens"
    check_model_fit(Peek(max_tokens=8192), context=8192)
    check_model_fit(Peek(max_tokens=8193), context=None)
    check_model_fit(Peek(), context=8192)


@pytest.mark.parametrize("field", [{"max_choices": 0}, {"max_batch": 0}, {"max_batch": 16_385}])
def test_bounds_have_bounds(field: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        PayloadSettings(**field)
