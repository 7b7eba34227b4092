"""Is what must not be asked refused, with the field's name and before anything is reserved?"""

import pytest
from pydantic import ValidationError

from gateway.core.endpoint import Dialect
from gateway.core.errors import BadRequestError, UnsupportedFeatureError
from gateway.payload.checks import check_model_fit, check_request
from gateway.payload.peek import Peek
from gateway.payload.settings import PayloadSettings

LIMITS = PayloadSettings()
NARROW = PayloadSettings(max_choices=1, max_batch=1)


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


@pytest.mark.parametrize("peek", [Peek(n=128, prompts=16), Peek(prompts=2048), Peek(inputs=2048)])
def test_what_is_within_bounds_passes_and_would_not_within_narrower_ones(peek: Peek) -> None:
    check_request(peek, Dialect.OPENAI, LIMITS)
    with pytest.raises(BadRequestError):
        check_request(peek, Dialect.OPENAI, NARROW)


@pytest.mark.parametrize("peek", [Peek(), Peek(n=0), Peek(n=1, prompts=1)])
def test_one_of_everything_is_within_any_bounds(peek: Peek) -> None:
    for dialect in Dialect:
        check_request(peek, dialect, NARROW)
    with pytest.raises(BadRequestError):
        check_request(Peek(n=2), Dialect.OPENAI, NARROW)


def test_a_long_conversation_is_no_batch() -> None:
    long = Peek(inputs=5000)
    check_request(long, Dialect.RESPONSES, LIMITS)
    with pytest.raises(BadRequestError, match="2048"):
        check_request(long, Dialect.OPENAI, LIMITS)  # of texts to be embedded it would be one


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
