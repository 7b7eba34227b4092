"""What does a query ask for? Its selectors, and the same query made to answer where it would only choose."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<range>\[[^\]]*\])
      | (?P<number>0x[0-9a-fA-F]+|[0-9][0-9a-zA-Z.]*)
      | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<comparison>==|!=|>=|<=|>|<)
      | (?P<mark>[=!]~|[{}(),+\-*/%^=@])""",
    re.VERBOSE,
)
"""PromQL's words; a comment or anything else between them is passed over."""
COMMENT = re.compile(r"#[^\n]*")
LISTS_OF_LABELS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"}
WIDER = {"unless": "or", "absent": "count", "absent_over_time": "present_over_time"}
"""What leaves out, or answers where nothing is: what it asks about must be there all the same."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a query."""

    kind: str
    text: str


def tokens(query: str) -> list[Token]:
    """The words of a query, in order."""
    found = TOKEN.finditer(COMMENT.sub("", query) if "#" in query else query)
    return [Token(str(one.lastgroup), one[0]) for one in found]


def selectors(query: str) -> list[str]:
    """Each metric that a query asks for, with its matchers as they stand there, once each."""
    return list(dict.fromkeys(_selectors(tokens(query))))


def metrics(query: str) -> set[str]:
    """The names of the metrics that a query asks for."""
    return {selector.partition("{")[0] for selector in selectors(query)}


def widened(query: str) -> str:
    """The query that answers wherever there is something to compare: what an alert looks at, whether it fires or not.

    Comparisons say 1 or 0 instead of leaving out, and what takes away or asks for absence takes the thing itself.
    """
    parts: list[str] = []
    depth = 0
    for token in tokens(query):
        depth += {"{": 1, "}": -1}.get(token.text, 0)
        if depth or token.kind == "text":
            parts.append(token.text)
        elif token.kind == "comparison":
            parts.append(f"{token.text} bool")
        elif token.text != "bool":
            parts.append(WIDER.get(token.text, token.text))
    return " ".join(parts)


def _selectors(words: Sequence[Token]) -> Iterator[str]:
    place = 0
    while place < len(words):
        word, following = words[place], words[place + 1].text if place + 1 < len(words) else ""
        if word.text in LISTS_OF_LABELS and following == "(":
            place = _end(words, place + 1, ")")
        elif word.text == "{" or (word.kind == "name" and following == "{"):
            end = _end(words, place, "}")
            yield "".join(one.text for one in words[place : end + 1])
            place = end
        elif word.kind == "name" and word.text.lower() not in WORDS and following not in {"(", *LISTS_OF_LABELS}:
            yield word.text
        place += 1


def _end(words: Sequence[Token], place: int, closing: str) -> int:
    while words[place].text != closing:
        place += 1
    return place
