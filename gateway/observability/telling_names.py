r"""Which names introduce a secret, and where does it end? `password=x`, `X-Admin-Key: x`, `("cookie", "a=b")`.

A name that was read is taken, whether or not a value follows, and what is taken is not read again: so a text of any
kind costs a bounded number of steps for each of its characters. What repeats without a bound is one class of characters
that gives nothing back (`\s*+`), or the inside of quotes, behind which nothing can fail.
"""

import re
from typing import Final

REDACTED: Final = "[redacted]"
MAX_NAME: Final = 128
"""Characters of a text that is a name by itself."""

_WORDS: Final = (
    r"authorization|bearer|token|secret|passw(?:or)?d|passphrase|cookie|credential"
    r"|(?:access|account|admin|api|auth|client|encryption|license|master|private|service|session|signing)[ _-]?key"
)
_HINTS: Final = ("authorization", "bearer", "token", "secret", "pass", "cookie", "credential", "key")
"""One of these is in every name; CPython searches for words of any case at a hundredth of the speed of these."""
_MEASURE: Final = (
    r"tokens(?:[_-](?!secret|key|pass|cookie|credential)[a-z]{1,16}){0,4}"
    r"|token[_-]?(?:at|bucket|budget|counts?|events?|limit|ms|rate|secs|seconds|usage)"
)
"""`max_tokens`, `tokens_in`, `first_token_secs`: how many tokens there are, or when one came, is no secret."""
_NUMBER: Final = r"(?:-?\d[\d._]*+|null|none|true|false)"
_QUOTE: Final = r"\\*+[\"']"
"""Also within quotes of quotes."""
_END: Final = r"(?P=escapes)(?P=quote)"
_QUOTED: Final = rf"b?(?P<escapes>\\*+)(?P<quote>[\"'])(?:[^\\\"']++|(?!{_END})\\*+[\s\S])*(?:{_END})?"
"""Up to the quote that is escaped as often as the first one; all of it where there is none."""

_TELLING = re.compile(_WORDS, re.IGNORECASE)
_MEASURES = re.compile(rf"(?:{_MEASURE})\Z", re.IGNORECASE)
_NAME = re.compile(r"[\w.-]+")
_COUNTED: Final = rf"(?:{_MEASURE})(?![\w.-])(?:{_QUOTE})?\s*+[:=]\s*+{_NUMBER}(?=[\s,;)}}\]&\\\"']|\Z)"
_LINE: Final = rf"(?:authorization|cookie)[\w-]*+\s*+[:=]\s*+(?!{_QUOTE}|b[\"'])[^\r\n]*+"
"""`cookie: a=b; c=d`: a header's value ends with its line."""
_FOLLOWS: Final = rf"(?:{_QUOTE}\s*+[:=,]|\s*+[:=])>?\s*+(?:(?:{_QUOTE})?value(?:{_QUOTE})?\s*+[:=]\s*+)?"
"""`=`, `": `, `", "value": `, `', b`."""
_VALUE: Final = rf"(?:{_FOLLOWS}(?P<value>{_QUOTED}|[^\s&]++)|)"
_INTRODUCED = re.compile(rf"(?P<counted>{_COUNTED})|{_LINE}|(?P<name>(?:{_WORDS})[\w.-]*+){_VALUE}", re.IGNORECASE)
"""What is counted; a header; a name, and its value if it has one: what is quoted, or all up to a blank."""


def is_telling(name: str) -> bool:
    """Whether a secret is what stands under that name."""
    return _TELLING.search(name) is not None


def is_measure(name: str) -> bool:
    """Whether numbers under that telling name are none: it says how many tokens, or when, and nothing else."""
    found = _TELLING.search(name)
    return found is not None and _MEASURES.match(name, found.start()) is not None


def as_name(value: object) -> str:
    """The text, or bytes, if that is the name of what stands beside it, and telling; else an empty one."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if isinstance(text, str) and len(text) <= MAX_NAME and _NAME.fullmatch(text) and is_telling(text):
        return text
    return ""


def without_introduced(text: str) -> str:
    """The text without the secrets that it introduces by name."""
    lower = text.lower()
    return _INTRODUCED.sub(_hidden, text) if any(hint in lower for hint in _HINTS) else text


def _hidden(found: "re.Match[str]") -> str:
    name, value = found["name"], found["value"]
    if found["counted"] is not None or (name is not None and value is None):
        return found[0]
    name = name or _NAME.match(found[0])[0]  # type: ignore[index]  # a header's line begins with its name
    return f"{name}={REDACTED}"
