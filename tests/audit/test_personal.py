"""What names a person is replaced wherever it stands, what only looks like it is not, and no text takes long."""

import re
import string
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.audit import personal
from gateway.audit.personal import passes_luhn, without_personal_data

DIGIT = st.sampled_from(string.digits)
AROUND = st.text(st.sampled_from(" ,.;:!?\n\t'\"()<>äß"), max_size=5).filter(lambda text: not text.endswith("("))


def with_luhn(body: str) -> str:
    return next(body + last for last in string.digits if passes_luhn(bytes(map(int, body + last))))


def with_mod_97(country: str, rest: str) -> str:
    digits = "".join(str(int(one, 36)) for one in f"{rest}{country}00")
    return f"{country}{98 - int(digits) % 97:02d}{rest}"


def in_fours(text: str, gap: str = " ") -> str:
    return gap.join(text[at : at + 4] for at in range(0, len(text), 4))


REPLACED = [
    # e-mail addresses
    ("write to jane.doe+x@mail.example.co.uk, please", "write to [e-mail], please"),
    ("<a@b.de>;mailto:c_d@e-f.org.", "<[e-mail]>;mailto:[e-mail]."),
    ("?to=jane%40example.com&x=1", "?to=[e-mail]&x=1"),
    ("jürgen@müller.example", "[e-mail]"),
    ("a@b.de@c.de", "[e-mail]@c.de"),
    ("jane@example.com.1", "[e-mail].1"),
    # phones: with a country
    ("call +49 (0)30 901820-0 or +1 415 555 2671.", "call [phone] or [phone]."),
    ("+1-415-555-2671, +1(415)555-2671, 001 415 555 2671", "[phone], [phone], [phone]"),
    ("+33\u00a01\u202f23\u202f45\u202f67\u202f89 and +49\u201130\u2011901820", "[phone] and [phone]"),
    # with an area
    ("0171 1234567, (030) 901820, 0041 44 668 18 00", "[phone], [phone], [phone]"),
    ("01 23 45 67 89, 01.23.45.67.89, 06-12-34-56-78", "[phone], [phone], [phone]"),
    ("030/901820", "[phone]"),
    # North America's
    ("(415) 555-2671 and 415.555.2671", "[phone] and [phone]"),
    ("(415)555-2671 and 415-555-2671", "[phone] and [phone]"),
    ("1-415-555-2671, 1 (415) 555-2671, 1.415.555.2671, 1(415)555-2671", "[phone], [phone], [phone], [phone]"),
    ("tel:1-800-555-0199", "tel:[phone]"),
    # cards
    ("4111 1111 1111 1111 12/27 123", "[card] 12/27 123"),
    ("4111-1111-1111-1111 123", "[card] 123"),
    ("5678 4111 1111 1111 1111", "5678 [card]"),
    ("order 12 5500005555555559 by 3782 822463 10005", "order 12 [card] by [card]"),
    ("4111.1111.1111.1111, 4111  1111   1111 1111", "[card], [card]"),
    ("4111\u00a01111\u00a01111\u00a01111, 4111\u202f1111\u20111111\u20131111", "[card], [card]"),
    ("4111 - 1111 - 1111 - 1111\t4111\t1111\t1111\t1111", "[card]\t[card]"),
    ("4111 1111 1111 1112 4111 1111 1111 1111", "4111 1111 1111 1112 [card]"),
    ('{"card":4111111111111111,"x":4111111111111111.0}', '{"card":[card],"x":[card].0}'),
    # IBANs
    ("DE89 3704 0044 0532 0130 00 IS MY IBAN", "[iban] IS MY IBAN"),
    ("gb82west12345698765432, NO93 8601 1117 947", "[iban], [iban]"),
    ("de89 3704 0044 0532 0130 00, gb82 west 1234 5698 7654 32", "[iban], [iban]"),
    ("DE89.3704.0044.0532.0130.00; DE89-3704-0044-0532-0130-00", "[iban]; [iban]"),
    ("DE 89 3704  0044  0532  0130  00", "[iban]"),
    ("DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "[iban]"),
    ("DE89 37040044 0532013000", "[iban]"),
    ("AT12 DE89 3704 0044 0532 0130 00", "AT12 [iban]"),
]
STAYS = [
    # times and dates
    "at 2026-11-21T23:15:02.250+00:00 and on 01.02.2026 10:15",
    "1767225600000 ms since 1970; 192.168.10.12:8080; v0.32.1",
    "20261122093000 and 20261122093008",  # the second passes as a card would
    "1763804096000003 us, 1763804096000000008 ns",
    "01.02.26 10:15, 05/06/2026 10, 05-06-26, 01.02.2026 03.04.2026",
    "2021 2022 2023 2024 2025 2026 2027 2028",
    "on 05.06. and from 05.06.2026-07.06.2026",
    # prices and quantities
    "0.4111111111111111 of 4111111111111112",
    "1.234.567,89 EUR or $1,234,567.89 or 4111.11",
    "12 000 000 and 0.99, 1.49, 2.99",
    # numbers of orders, versions, keys and the like
    "id 550e8400-e29b-41d4-a716-446655440000",
    "order 302-4567890-1234567, ISBN 978-3-16-148410-0",
    "SELECT * FROM t WHERE id = 12345 AND x @> '{1}'",
    "GB82 WEST 1234 5698 7654 33",
    "12345678901234567890123",
    "9999999999999995",
    # at signs
    "@decorator and me@localhost",
    "npm install react@18.2.0; a@b.T; git@10.0.0.4",
    # words that begin as IBANs do
    "it 12 o'clock and no 24 hours later than at 10 minutes of the game",
]


@pytest.mark.parametrize(("text", "left"), REPLACED)
def test_what_names_a_person_is_replaced(text: str, left: str) -> None:
    assert without_personal_data(text) == left


@pytest.mark.parametrize("text", STAYS)
def test_other_numbers_stay(text: str) -> None:
    assert without_personal_data(text) == text


ISSUED = st.from_regex(r"[4-6][0-9]|2[2-7]|3[04-9]", fullmatch=True)


@given(AROUND, ISSUED, st.text(DIGIT, min_size=13, max_size=13), AROUND)
def test_every_card_number_is_replaced(before: str, first: str, rest: str, after: str) -> None:
    number = with_luhn(first + rest)
    for written in (number, *(in_fours(number, gap) for gap in (" ", "-", ".", "\u00a0", "  ", " - "))):
        assert without_personal_data(f"{before}{written}{after}") == f"{before}[card]{after}"


IBANS = st.sampled_from(sorted(personal._LENGTH_OF.items())).flatmap(
    lambda one: st.builds(
        with_mod_97,
        st.just(one[0]),
        st.text(DIGIT, min_size=one[1] - 8, max_size=one[1] - 8).flatmap(
            lambda digits: st.sampled_from(["1234", "WEST"] if len(digits) > 7 else ["1234"]).map(digits.__add__)
        ),
    )
)


@given(AROUND, IBANS, AROUND)
def test_every_iban_is_replaced(before: str, iban: str, after: str) -> None:
    for written in (iban, iban.lower(), *(in_fours(iban, gap) for gap in (" ", ".", "-", "\u00a0", "  "))):
        assert without_personal_data(f"{before}{written}{after}") == f"{before}[iban]{after}"


def test_words_that_happen_to_pass_an_ibans_check_stay() -> None:
    passing = with_mod_97("NO", "HOURSLATERS")
    assert without_personal_data(f"at no {passing[2:4]} hours laters") == f"at no {passing[2:4]} hours laters"
    assert without_personal_data(passing) == passing


@given(
    AROUND,
    st.from_regex(r"[a-z0-9][a-z0-9._+-]{0,60}@[a-z0-9-]{1,60}(\.[a-z0-9-]{1,20}){0,2}\.[a-z]{2,20}", fullmatch=True),
)
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
    """A pattern that counts the characters it was given and those that it gave to be judged; these may overlap."""

    def __init__(self, pattern: "re.Pattern[str]") -> None:
        self.pattern = pattern
        self.searched = self.judged = 0

    def finditer(self, text: str, begin: int, end: int) -> "Iterator[re.Match[str]]":
        self.searched += min(end, len(text)) - begin
        for found in self.pattern.finditer(text, begin, end):
            ends = [found.end(number) for number in range(found.re.groups + 1)]
            self.judged += max(ends) - found.start()
            yield found


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
    "cards with gaps of their own": "4111\u00a0",
    "areas": "(0",
    "blanks": " ",
    "brackets": "+49(((((",
    "dates": "01.02.2026 ",
}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Counted]:
    patterns: list[Any] = [Counted(kind.pattern) for kind in personal._KINDS]
    kinds = [kind._replace(pattern=pattern) for kind, pattern in zip(personal._KINDS, patterns, strict=True)]
    monkeypatch.setattr(personal, "_KINDS", kinds)
    return patterns


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_of_anything_is_read_once_and_judged_a_few_times(piece: str, counted: list[Counted]) -> None:
    """The most is judged of IBANs: up to 84 characters from each five on."""
    text = piece * (1024 * 1024 // len(piece))
    without_personal_data(text)
    windows = 1 + personal.LONGEST / personal.WINDOW
    assert max(pattern.searched for pattern in counted) <= windows * len(text)
    assert sum(pattern.judged for pattern in counted) < 20 * len(text)


@pytest.mark.parametrize("row", ["4111 ", "4111\u00a0", "4111 1111 1111 1112 ", "4200 ", "4111   ", "4111 1 "])
def test_a_row_of_what_may_be_cards_is_read_once(row: str, counted: list[Counted]) -> None:
    text = row * (100_000 // len(row))
    without_personal_data(text)
    in_fours = counted[1]
    assert in_fours.searched < 1.1 * len(text)
    assert in_fours.judged < 1.1 * len(text)


def test_a_row_of_what_may_be_ibans_is_checked_once_for_each_group(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []

    def fail(iban: bytes) -> bool:
        checked.append(iban)
        return False

    monkeypatch.setattr(personal, "passes_mod_97", fail)
    text = "DE89 " * 20_000
    assert without_personal_data(text) == text
    assert 19_000 < len(checked) <= 20_000


@given(st.lists(st.integers(0, 9999).map("{:04d}".format), min_size=4, max_size=90))
def test_in_a_row_of_groups_the_first_four_that_pass_go_and_then_the_next(groups: list[str]) -> None:
    left, at = list[str](), 0
    while at < len(groups):
        four = "".join(groups[at : at + 4])
        if len(four) == 16 and four[:2] in personal._ISSUED and passes_luhn(bytes(map(int, four))):
            left.append("[card]")
            at += 4
        else:
            left.append(groups[at])
            at += 1
    assert personal._replaced(" ".join(groups), personal._KINDS[1]) == " ".join(left)


@pytest.mark.parametrize("kind", personal._KINDS, ids=lambda kind: kind.word)
def test_no_pattern_repeats_without_a_bound(kind: personal._Kind) -> None:
    """Without one, a failed try at each place could read all that is behind it."""
    bare = kind.pattern.pattern.replace(r"\+", "").replace(r"\*", "").replace("}+", "}")  # that one gives nothing back
    outside = "".join(part.partition("]")[2] if index else part for index, part in enumerate(bare.split("[")))
    assert "*" not in outside
    assert "+" not in outside
    assert ",}" not in outside
