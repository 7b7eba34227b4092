"""What names a person is replaced wherever it stands, what only looks like it is not, and no text takes long."""

import re
import string
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.audit import personal
from gateway.audit.personal import passes_luhn, without_personal_data

DIGIT = st.sampled_from(string.digits)
AROUND = st.text(st.sampled_from(" ,.;:!?\n\t'\"()<>äß"), max_size=5).filter(lambda text: not text.endswith("("))


def with_luhn(body: str) -> str:
    return next(body + last for last in string.digits if passes_luhn([int(one) for one in body + last]))


def with_mod_97(country: str, rest: str) -> str:
    digits = "".join(str(int(one, 36)) for one in f"{rest}{country}00")
    return f"{country}{98 - int(digits) % 97:02d}{rest}"


def in_fours(text: str, gap: str = " ") -> str:
    return gap.join(text[at : at + 4] for at in range(0, len(text), 4))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("write to jane.doe+x@mail.example.co.uk, please", "write to [e-mail], please"),
        ("<a@b.de>;mailto:c_d@e-f.org.", "<[e-mail]>;mailto:[e-mail]."),
        ("?to=jane%40example.com&x=1", "?to=[e-mail]&x=1"),
        ("jürgen@müller.example", "[e-mail]"),
        ("call +49 (0)30 901820-0 or +1 415 555 2671.", "call [phone] or [phone]."),
        ("0171 1234567, (030) 901820, 0041 44 668 18 00", "[phone], [phone], [phone]"),
        ("(415) 555-2671 and 415.555.2671", "[phone] and [phone]"),
        ("4111 1111 1111 1111 12/27 123", "[card] 12/27 123"),
        ("4111-1111-1111-1111 123", "[card] 123"),
        ("5678 4111 1111 1111 1111", "5678 [card]"),
        ("a@b.de@c.de", "[e-mail]@c.de"),
        ("order 12 5500005555555559 by 3782 822463 10005", "order 12 [card] by [card]"),
        ("DE89 3704 0044 0532 0130 00 IS MY IBAN", "[iban] IS MY IBAN"),
        ("gb82west12345698765432, NO93 8601 1117 947", "[iban], [iban]"),
    ],
)
def test_what_names_a_person_is_replaced(text: str, left: str) -> None:
    assert without_personal_data(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "at 2026-11-21T23:15:02.250+00:00 and on 01.02.2026 10:15",
        "1767225600000 ms since 1970; 192.168.10.12:8080; v0.32.1",
        "0.4111111111111111 of 4111111111111112",
        "id 550e8400-e29b-41d4-a716-446655440000",
        "SELECT * FROM t WHERE id = 12345 AND x @> '{1}'",
        "GB82 WEST 1234 5698 7654 33",
        "@decorator and me@localhost",
        "12345678901234567890123",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert without_personal_data(text) == text


@given(
    AROUND, st.text(st.sampled_from("23456"), min_size=1, max_size=1), st.text(DIGIT, min_size=14, max_size=14), AROUND
)
def test_every_card_number_is_replaced(before: str, first: str, rest: str, after: str) -> None:
    number = with_luhn(first + rest)
    for written in (number, in_fours(number), in_fours(number, "-")):
        assert without_personal_data(f"{before}{written}{after}") == f"{before}[card]{after}"


IBANS = st.sampled_from(sorted(personal._LENGTH_OF.items())).flatmap(
    lambda one: st.builds(
        with_mod_97,
        st.just(one[0]),
        st.text(st.sampled_from(string.digits + string.ascii_uppercase), min_size=one[1] - 4, max_size=one[1] - 4),
    )
)


@given(AROUND, IBANS, AROUND)
def test_every_iban_is_replaced(before: str, iban: str, after: str) -> None:
    for written in (iban, iban.lower(), in_fours(iban)):
        assert without_personal_data(f"{before}{written}{after}") == f"{before}[iban]{after}"


@given(AROUND, st.from_regex(r"[a-z0-9][a-z0-9._+-]{0,60}@[a-z0-9-]{1,60}(\.[a-z0-9-]{1,20}){1,3}", fullmatch=True))
def test_every_e_mail_address_is_replaced(before: str, address: str) -> None:
    assume(not before.endswith((".", "ä", "ß")))  # which an address may begin with
    assert without_personal_data(f"{before}{address}, then") == f"{before}[e-mail], then"


WRITTEN = {
    "jane@example.com": "[e-mail]",
    "4111 1111 1111 1111": "[card]",
    "DE89 3704 0044 0532 0130 00": "[iban]",
    "+49 30 901820": "[phone]",
}


@given(st.integers(0, 3 * personal.WINDOW), st.sampled_from(sorted(WRITTEN)))
@example(personal.WINDOW - 10, "jane@example.com")
@example(personal.WINDOW, "4111 1111 1111 1111")
@example(personal.WINDOW + personal.LONGEST - 16, "jane@example.com")
@example(personal.WINDOW + personal.LONGEST - 26, "DE89 3704 0044 0532 0130 00")
def test_it_is_found_wherever_a_window_ends(before: int, secret: str) -> None:
    text = "x" * before + f" {secret} " + "y" * 100
    assert without_personal_data(text) == text.replace(secret, WRITTEN[secret])


class Counted:
    """A pattern that counts how many characters it was given to search, at the most."""

    def __init__(self, pattern: "re.Pattern[str]") -> None:
        self.pattern = pattern
        self.places = 0

    def search(self, text: str, at: int, end: int) -> "re.Match[str] | None":
        found = self.pattern.search(text, at, end)
        self.places += (min(end, len(text)) if found is None else found.end()) - at
        return found


HOSTILE = {
    "letters": "a",
    "digits": "1",
    "pairs": "1 ",
    "at": "@",
    "nearly an address": "a@a.",
    "domains": "@a.a",
    "long domains": "@" + "a" * 63 + ".",
    "ibans": "DE89",
    "nearly ibans": "DE89 3704 0044 0532 0130 01 ",
    "cards": "4111 ",
    "nearly cards": "4111 1111 1111 1112 ",
    "phones": "+1 ",
    "areas": "(0",
    "blanks": " ",
    "brackets": "+49(((((",
    "dates": "01.02.2026 ",
}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    kinds = tuple(kind._replace(pattern=Counted(kind.pattern)) for kind in personal._KINDS)  # type: ignore[arg-type]  # as much of a pattern as is used
    monkeypatch.setattr(personal, "_KINDS", kinds)
    return lambda: sum(kind.pattern.places for kind in kinds)  # type: ignore[attr-defined]  # see above


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_of_anything_is_read_a_bounded_number_of_times(piece: str, counted: Callable[[], int]) -> None:
    text = piece * (1024 * 1024 // len(piece))
    without_personal_data(text)
    assert counted() < 30 * len(text)


@pytest.mark.parametrize("kind", personal._KINDS, ids=[kind.word for kind in personal._KINDS])
def test_no_pattern_repeats_without_a_bound(kind: personal._Kind) -> None:
    """Without one, a failed try at each place could read all that is behind it."""
    bare = kind.pattern.pattern.replace(r"\+", "").replace(r"\*", "")
    outside = "".join(part.partition("]")[2] if index else part for index, part in enumerate(bare.split("[")))
    assert "*" not in outside
    assert "+" not in outside
    assert ",}" not in outside
