"""Which keys are taken for keys?"""

import base64
import random

import pytest

from gateway.core.keys import refuse_unfit, why_unfit


@pytest.mark.parametrize(
    "key",
    [
        *("change-me", "CHANGEME", "please_change_it", "replace-with-yours", "PLACEHOLDER", "sk-example-1"),
        *("your-backend-key", "YOUR_API_KEY", "yourkey-1", "sk-your-own", "todo-ask-ops", "sk-Todo", "xxx-xxx"),
        *("sk-xxxx", "sk-abcxxxxxxdef", "<the key>".replace(" ", "-"), "${GATEWAY_API_KEY}", "secret-key", "my-secret"),
        *("GATEWAY_API_KEY", "sk-password", "sk-null", "dummy-key", "00000000", "--------"),
    ],
)
def test_a_placeholder_is_no_key(key: str) -> None:
    assert why_unfit(key) == "holds a placeholder"


@pytest.mark.parametrize(
    "key", ["two words", " leading", "tab\tinside", "schlüssel", "line-end\n", "nul-\x00-byte", "soft\xa0blank"]
)
def test_what_no_header_can_carry_is_no_key(key: str) -> None:
    assert why_unfit(key) == "holds a blank, a control character or a letter beyond ASCII"


@pytest.mark.parametrize(("key", "words"), [("", "is not set"), ("sk-dem", "holds a key of under 7 characters")])
def test_what_is_too_short_is_no_key(key: str, words: str) -> None:
    assert why_unfit(key) == words


@pytest.mark.parametrize("key", ["sk-demo", "sk-exchange-rates-7", "Tr0ub4dor&3", "keyring-of-ops", "a,b;c=d/e+f"])
def test_what_somebody_chose_is_a_key(key: str) -> None:
    assert why_unfit(key) is None


def test_chance_makes_no_placeholder() -> None:
    chance = random.Random(7)  # noqa: S311 -- a test's dice
    made = (base64.urlsafe_b64encode(chance.randbytes(32)).decode().rstrip("=") for _ in range(30_000))
    assert [key for key in made if why_unfit(key)] == []


def test_the_refusal_names_the_setting_and_not_the_key() -> None:
    with pytest.raises(ValueError, match=r"^NAME holds a placeholder: `gateway init` writes") as caught:
        refuse_unfit("todo-4711", "NAME")
    assert "4711" not in str(caught.value)
