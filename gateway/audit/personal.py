"""What in a text names a person? E-mail addresses, phone numbers, payment cards and IBANs, which are replaced.

Numbers that carry a check digit must pass it. The rest is told by its form: a number that looks like a phone's is
taken for one, as too much is better taken out than too little. Names and addresses of people are not recognised.

All of it takes one step for each character, or a bounded number: patterns begin at a place where nothing before it
matters, repeat a bounded number of times, and a place is tried once. Long texts are searched in windows, between which
other threads may run: the interpreter lets none of them run while it searches.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

WINDOW: Final = 16 * 1024
"""Characters searched at a time, in about 0.3 ms."""
LONGEST: Final = 512
"""Characters that any of the patterns reads from where it begins; an e-mail address may have 320."""

GAPS: Final = " \u00a0-"
_LETTERS_AND_DIGITS = 36
_MOD_97 = 97
_LUHN = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
"""A digit twice, its own digits added up."""
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

Span = tuple[int, int]


class _Kind(NamedTuple):
    """One kind of what is replaced.

    Attributes:
        word: what stands there instead.
        pattern: where it may be; at most LONGEST characters.
        judge: where it is, given the match and what was replaced last; None: it is none.
    """

    word: str
    pattern: "re.Pattern[str]"
    judge: Callable[["re.Match[str]", int], Span | None]


def without_personal_data(text: str) -> str:
    """The text with `[iban]`, `[card]`, `[e-mail]` and `[phone]` in place of these."""
    if _WORTH_A_LOOK.search(text):
        for kind in _KINDS:
            text = _replaced(text, kind)
    return text


def _replaced(text: str, kind: _Kind) -> str:
    parts: list[str] = []
    done = at = 0
    while (found := _next(kind.pattern, text, at)) is not None:
        span = kind.judge(found, done)
        if span is None:
            at = found.start() + 1
            continue
        begin, at = span
        parts += (text[done:begin], kind.word)
        done = at
    return "".join((*parts, text[done:])) if parts else text


def _next(pattern: "re.Pattern[str]", text: str, at: int) -> "re.Match[str] | None":
    """The first match from there on, found window by window; each is read LONGEST further, for what crosses its end."""
    while at < len(text):
        found = pattern.search(text, at, at + WINDOW + LONGEST)
        if found is not None and found.start() < at + WINDOW:
            return found
        at += WINDOW
    return None


def _iban(found: "re.Match[str]", _: int) -> Span | None:
    """The characters that its country's have, if they pass the check of ISO 7064 (mod 97, 10)."""
    text = found.string
    length = _LENGTH_OF.get(found[0][:2].upper())
    if length is None:
        return None
    characters, end = "", found.start()
    while len(characters) < length and end < found.end():
        if text[end] not in GAPS:
            characters += text[end]
        end += 1
    if len(characters) < length or (text[end : end + 1].isalnum() and text[end].isascii()):
        return None
    digits = "".join(str(int(one, _LETTERS_AND_DIGITS)) for one in characters[4:] + characters[:4])
    return (found.start(), end) if int(digits) % _MOD_97 == 1 else None


def _card(found: "re.Match[str]", _: int) -> Span | None:
    """All of it, or what stands before a last group, which may be the three digits from the card's back."""
    for part in (0, "whole"):
        number = found[part]
        if number and passes_luhn([int(one) for one in number if one.isdecimal()]):
            return found.span(part)
    return None


def passes_luhn(digits: list[int]) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    return (sum(digits[-1::-2]) + sum(_LUHN[digit] for digit in digits[-2::-2])) % 10 == 0


def _e_mail(found: "re.Match[str]", done: int) -> Span | None:
    """From the name before the `@`, if there is any."""
    before = found.string[max(done, found.start() - 64) : found.start()][::-1]
    local = _LOCAL_REVERSED.match(before)
    return None if local is None else (found.start() - local.end(), found.end())


def _all(found: "re.Match[str]", _: int) -> Span:
    return found.span()


_GAP = "[ .\u00a0-]"
_KINDS: Final = (
    _Kind("[iban]", re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ \u00a0-]?[A-Za-z0-9]){11,30}"), _iban),
    _Kind(
        "[card]",
        re.compile(
            r"(?<!\d)(?<!\d\.)(?:"
            rf"(?P<whole>[2-6]\d{{3}}(?P<gap>{_GAP})\d{{4}}(?P=gap)\d{{4}}(?P=gap)\d{{4}})(?:(?P=gap)\d{{1,3}})?"
            rf"|3\d{{3}}{_GAP}\d{{6}}{_GAP}\d{{4,5}}"  # American Express, Diners Club
            r"|[2-6]\d{12,18})(?!\d)"
        ),
        _card,
    ),
    _Kind("[e-mail]", re.compile(r"(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"), _e_mail),
    _Kind(
        "[phone]",
        re.compile(
            r"(?<![\w+])(?<!\d[./-])(?:"
            r"(?:\+|00)[1-9]\d{0,2}[ ./()\u00a0-]{0,3}(?:\d[ ./()\u00a0-]{0,2}){5,12}\d"  # with its country
            r"|\(?0[1-9]\d{0,4}\)?(?!\.\d\d\.\d{4})[ ./\u00a0-]{0,3}(?:\d[ ./\u00a0-]{0,2}){4,9}\d"  # with its area
            r"|\(?[2-9]\d{2}\)?[ .-]{1,2}\d{3}[ .-]\d{4}"  # North America's
            r")(?!\d)"
        ),
        _all,
    ),
)
"""In this order: what passes a check first, so that nothing takes a part of it for something else."""
