"""Does a key open the door exactly where one in force stands? Whatever is around it, and whoever came before."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.auth.keyring import Keyring
from gateway.auth.settings import AuthSettings
from gateway.core.asgi import Fields, Headers, fields_of
from gateway.core.endpoint import Dialect
from gateway.core.errors import InvalidApiKeyError
from gateway.core.keys import why_unfit
from tests.fuzz.damage import LINE_BYTES, damaged
from tests.fuzz.effort import examples

KEYS = [b"sk-first-7f3a", b"sk-second-91bc", b"sk-first-7f3a-longer"]
SCHEMES = [b"Bearer ", b"bearer ", b"BEARER ", b"bEaReR "]
OTHER_SCHEMES = [b"Bearer\t", b"Bearer", b"Bearer  ", b" Bearer ", b"Bearer:", b"Basic ", b"", b"Bearer Bearer "]
WORDS = [*LINE_BYTES, b"Bearer ", b",", b", ", b"'", b'"', b"sk-first-7f3a", b"\xc3\xa9"]


@st.composite
def comers(draw: st.DrawFn) -> list[tuple[Headers, Dialect]]:
    """Visits that show the same few keys again, as they are and in disguise."""
    key, other = draw(st.permutations(KEYS))[:2]
    shown = draw(st.sampled_from(SCHEMES)) + key
    alike = [shown, shown, shown[:-1], shown + b" ", draw(st.sampled_from(OTHER_SCHEMES)) + key, shown + b", " + shown]
    odd = damaged(st.just(shown), WORDS, most=2) | st.binary(max_size=30)
    keys = st.sampled_from([key, other, key[:-1], shown]) | damaged(st.just(other), WORDS, most=1)
    field = st.tuples(st.just(b"authorization"), st.sampled_from(alike) | odd) | st.tuples(st.just(b"x-api-key"), keys)
    fields = st.sampled_from([[(b"authorization", value)] for value in alike]) | st.lists(field, max_size=2)
    return draw(st.lists(st.tuples(fields, st.sampled_from(Dialect)), min_size=2, max_size=12))


def opens(fields: Fields, dialect: Dialect) -> bool:
    """Whether one of the keys stands where it may, read as simply as can be."""
    bearer = re.fullmatch(rb"(?i:bearer) (.*)", fields.get(b"authorization", b""), re.DOTALL)
    return (bearer is not None and bearer[1] in KEYS) or (
        dialect is Dialect.ANTHROPIC and fields.get(b"x-api-key") in KEYS
    )


def admitted(keyring: Keyring, fields: Fields, dialect: Dialect) -> bool:
    try:
        keyring.admit(fields, dialect, 0.0)
    except InvalidApiKeyError:
        return False
    return True


@examples(200)
@given(comers())
def test_a_key_opens_the_door_where_it_stands_alone_in_its_place_whoever_came_before(
    visits: list[tuple[Headers, Dialect]],
) -> None:
    keyring = Keyring(key.decode() for key in KEYS)
    for headers, dialect in visits:
        fields = fields_of(headers)
        assert admitted(keyring, fields, dialect) is opens(fields, dialect)


@examples(150)
@given(
    st.lists(
        st.text(max_size=20)
        | st.text("aé\x7fß<9", min_size=7, max_size=9)
        | st.sampled_from([key.decode() for key in KEYS]),
        max_size=4,
    )
)
def test_keys_that_a_start_accepts_open_the_door_and_others_stop_the_start(written: list[str]) -> None:
    keys = [part.strip() for part in ",".join(written).split(",") if part.strip()]
    if any(why_unfit(key) for key in keys or [""]):
        with pytest.raises(ValidationError) as refusal:
            AuthSettings.model_validate({"gateway_api_key": ",".join(written)})
        said = str(refusal.value.errors(include_input=False, include_context=False))
        assert not any(key.decode() in said for key in KEYS)
        return
    settings = AuthSettings.model_validate({"gateway_api_key": ",".join(written)})
    assert [key.get_secret_value() for key in settings.gateway_api_key] == keys
    keyring = Keyring(keys)
    for key in keys:
        assert admitted(keyring, {b"authorization": b"Bearer " + key.encode("ascii")}, Dialect.OPENAI)
        assert not admitted(keyring, {b"authorization": b"Bearer " + key.encode() + b"\0"}, Dialect.OPENAI)
