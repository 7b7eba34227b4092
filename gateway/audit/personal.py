"""What in a text names a person? E-mail addresses, phone numbers, payment cards and IBANs, which are replaced.

Numbers that carry a check digit must pass it. The rest is told by its form: a number that looks like a phone's is
taken for one, as too much is better taken out than too little. Names and addresses of people are not recognised.

All of it takes a bounded number of steps for each character. Each pattern begins with one character, by which CPython
passes over others ten times as fast, looks at a place once and repeats a bounded number of times. A row of groups that
may be cards is read once, however many of them fail. Long texts are searched in windows, between which other threads
may run: the interpreter lets none of them run while it searches.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Final, NamedTuple

WINDOW: Final = 16 * 1024
"""Characters searched at a time, in about 0.3 ms."""
LONGEST: Final = 512
"""Characters that any of the patterns reads from where it begins; an e-mail address may have 320."""

_NUMBERS = {ord("A") + number: b"%d" % (10 + number) for number in range(26)}
"""What an IBAN's letters count for (ISO 13616)."""
_MOD_97 = 97
_MIN_IBAN_DIGITS: Final = 10
"""Every IBAN has more; two letters, two digits and a sentence have not."""
_VALUES = bytes.maketrans(b"0123456789", bytes(range(10)))
_TWICE = bytes.maketrans(bytes(range(10)), bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
"""A digit's value twice, the digits of that added up."""
_IBAN_LENGTHS: Final = {
    length: frozenset(countries.split())
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
}
"""Characters of an IBAN, by country: SWIFT's registry (ISO 13616)."""
_LENGTH_OF: Final = {country: length for length, countries in _IBAN_LENGTHS.items() for country in countries}


_WORTH_A_LOOK = re.compile(r"[@\d]")
"""Nothing that is sought is without one of these; `%40` has digits."""
_LOCAL_REVERSED = re.compile(r"[\w.+-]{1,64}")

_ASCII_GAPS: Final = b" \t.-"
_GAPS: Final = r" \t.\u00a0\u2000-\u200a\u202f\u205f\u3000\u2010-\u2015\u2212\-"
"""What may stand between groups of digits: blanks of any width, points, dashes."""
_GAP: Final = rf"[{_GAPS}]{{1,3}}+"
_ROW: Final = 60
"""Groups of four digits that are taken together, of seven characters at the most."""
_IBAN_WRITTEN: Final = 80
"""Characters of an IBAN behind its first four, with its gaps: 29 of Russia's."""
_ISSUED: Final = frozenset(str(begin) for begin in range(22, 70) if begin not in {28, 29, 31, 32, 33})
"""How cards begin (ISO/IEC 7812: those of banks, of travel); years and times of day, as 20261122093000, do not."""
_DATE: Final = r"[1-9][./-]\d{1,2}[./-](?:\d{4}(?!\d)|\d{2}(?![./-]?\d))"
"""`01.02.2026`, `05/06/26`, behind their 0; unless it goes on, as French phone numbers do: `01.23.45.67.89`."""

Span = tuple[int, int]


class _Kind(NamedTuple):
    """One kind of what is replaced.

    Attributes:
        word: what stands there instead.
        pattern: where it may be; at most LONGEST characters.
        judge: where in the match it is, given the end of what was replaced last.
    """

    word: str
    pattern: "re.Pattern[str]"
    judge: Callable[["re.Match[str]", int], Iterable[Span]]


def without_personal_data(text: str) -> str:
    """The text with `[iban]`, `[card]`, `[e-mail]` and `[phone]` in place of these."""
    if _WORTH_A_LOOK.search(text):
        for kind in _KINDS:
            text = _replaced(text, kind)
    return text


def _replaced(text: str, kind: _Kind) -> str:
    """Window by window; each is read LONGEST further, for what crosses its end."""
    parts: list[str] = []
    done = at = 0
    while at < len(text):
        end = at + WINDOW
        for found in kind.pattern.finditer(text, at, end + LONGEST):
            if found.start() >= end:
                break
            for begins, ends in kind.judge(found, done):
                if begins >= done:
                    parts += (text[done:begins], kind.word)
                    done = ends
        at = max(end, done)
    return "".join((*parts, text[done:])) if parts else text


def _iban(found: "re.Match[str]", _: int) -> Iterator[Span]:
    """The characters that its country's have, if they pass the check."""
    begin, text = found.start(), found.string
    length = _LENGTH_OF.get(text[begin : begin + 2].upper())
    if length is None:
        return
    written = text[begin : found.end("rest")]
    characters = written.encode("ascii", "ignore").translate(None, _ASCII_GAPS)[:length].upper()
    if len(characters) == length and passes_mod_97(characters):
        end = begin + _end_of(written, length)
        if not re.match("[A-Za-z0-9]", text[end : end + 1]):
            yield begin, end


def _end_of(written: str, characters: int) -> int:
    """Where that many of them end, gaps aside."""
    ends = (at for at, one in enumerate(written, 1) if one.isascii() and one.isalnum())
    return next(end for number, end in enumerate(ends, 1) if number == characters)


def passes_mod_97(iban: bytes) -> bool:
    """Whether the third and the fourth character check the others (ISO 7064, mod 97, 10); they are digits, A to Z."""
    letters = iban.translate(None, delete=b"0123456789")
    if len(iban) - len(letters) < _MIN_IBAN_DIGITS:
        return False
    number = iban[4:] + iban[:4]
    for letter in set(letters):
        number = number.replace(b"%c" % letter, _NUMBERS[letter])
    return int(number) % _MOD_97 == 1


def _cards_in_fours(found: "re.Match[str]", _: int) -> Iterator[Span]:
    """Each four groups that pass; the last four with what follows, unless it is the three digits from a card's back."""
    begin, end = found.start(), found.end("three")
    groups = _FOUR.findall(found.string, begin, end)
    sums = list(map(_luhn_sum, groups))
    windows = enumerate(zip(sums, sums[1:], sums[2:], sums[3:], strict=False))
    passing = [at for at, window in windows if sum(window) % 10 == 0 and groups[at][:2] in _ISSUED]
    if not passing and found["rest"] is None:
        return
    places = [place.span() for place in _FOUR.finditer(found.string, begin, end)]
    for at in passing:
        if at < len(groups) - 4:
            yield places[at][0], places[at + 3][1]
    begins, whole = places[-4][0], found.end("rest")
    if found["rest"] is not None and groups[-4][:2] in _ISSUED and passes_luhn(_values(found.string[begins:whole])):
        yield begins, whole
    if len(groups) - 4 in passing:
        yield begins, end


@cache
def _luhn_sum(group: str) -> int:
    """What four digits add to the sum of a number of which they are a quarter; there are 10,000 of them."""
    values = _values(group)
    return sum(values[1::2]) + sum(values[::2].translate(_TWICE))


def _card(found: "re.Match[str]", _: int) -> Iterator[Span]:
    begin, end = found.start(), found.end("rest")
    number = found.string[begin:end]
    if number[:2] in _ISSUED and passes_luhn(_values(number)):
        yield begin, end


def passes_luhn(values: bytes) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B); each byte is the value of one."""
    return (sum(values[-1::-2]) + sum(values[-2::-2].translate(_TWICE))) % 10 == 0


def _values(number: str) -> bytes:
    """What its digits are worth, gaps aside."""
    return number.encode("ascii", "ignore").translate(_VALUES, _ASCII_GAPS)


def _e_mail(found: "re.Match[str]", done: int) -> Iterator[Span]:
    """From the name before the `@`, if there is any."""
    before = found.string[max(done, found.start() - 64) : found.start()][::-1]
    local = _LOCAL_REVERSED.match(before)
    if local is not None:
        yield found.start() - local.end(), found.end()


def _all(found: "re.Match[str]", _: int) -> tuple[Span]:
    return (found.span(),)


_FOUR = re.compile(r"\d{4}", re.ASCII)
_NUMBER_BEGINS: Final = r"(?<!\d.)(?<!\d\..)"
"""Behind the first digit: it is none of a longer number, nor of what stands behind a point."""
_KINDS: Final = (
    _Kind(
        "[iban]",
        re.compile(
            rf"[A-Za-z](?<![A-Za-z0-9].)(?=[A-Za-z][{_GAPS}]?[0-9]{{2}}(?P<rest>[A-Za-z0-9{_GAPS}]{{11,{_IBAN_WRITTEN}}}))"
        ),
        _iban,
    ),
    _Kind(
        "[card]",
        re.compile(
            rf"[2-6]{_NUMBER_BEGINS}\d{{3}}(?!\d)(?:{_GAP}\d{{4}}(?!\d)){{0,{_ROW}}}"
            rf"(?=(?P<three>(?:{_GAP}\d{{4}}(?!\d)){{3}})(?P<rest>{_GAP}\d{{1,3}}(?!\d))?)",
            re.ASCII,
        ),
        _cards_in_fours,
    ),
    _Kind(
        "[card]",
        re.compile(
            rf"[2-6]{_NUMBER_BEGINS}(?=(?P<rest>\d{{12,18}}|\d{{3}}{_GAP}\d{{6}}{_GAP}\d{{4,5}})(?!\d))",
            re.ASCII,
        ),
        _card,  # the second as American Express and Diners Club have it
    ),
    _Kind("[e-mail]", re.compile(r"(?:@|%40)(?:[\w-]{1,63}\.){1,4}[^\W\d_][\w-]{1,62}"), _e_mail),
    _Kind(
        "[phone]",
        re.compile(
            r"[+(\d](?<![\w+].)(?<!\d[./-].)(?:"
            # with its country
            rf"(?:(?<=\+)|(?<=0)0)[1-9]\d{{0,2}}[{_GAPS}/()]{{0,3}}(?:\d[{_GAPS}/()]{{0,2}}){{5,12}}\d"
            # with its area
            rf"|(?:(?<=0)(?!{_DATE})|(?<=\()0)[1-9]\d{{0,4}}\)?[{_GAPS}/]{{0,3}}(?:\d[{_GAPS}/]{{0,2}}){{4,9}}\d"
            # North America's, also with the 1 that is dialled before it
            rf"|(?:(?<=\()[2-9]\d\d\)[{_GAPS}]{{0,2}}|(?<=[2-9])\d\d[{_GAPS}]{{1,2}}"
            rf"|(?<=1)[{_GAPS}]{{0,2}}(?:\([2-9]\d\d\)[{_GAPS}]{{0,2}}|[2-9]\d\d[{_GAPS}]{{1,2}}))"
            rf"\d{{3}}[{_GAPS}]{{1,2}}\d{{4}}"
            r")(?!\d)",
            re.ASCII,
        ),
        _all,
    ),
)
"""In this order: what passes a check first, so that nothing takes a part of it for something else."""
