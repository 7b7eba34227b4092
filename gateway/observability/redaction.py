"""What must never stand in a line? Credentials, by their form, by their name or because they are ours; and addresses.

Texts that somebody else wrote (a library's message, an exception, a path that a stranger made up) may hold what clients
and operators keep secret. All patterns here take one step per character or a bounded number: none goes back over what
it has read, whatever it is given.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.observability.masking import masked, masked_organizations

if TYPE_CHECKING:
    from gateway.observability.settings import ObservabilitySettings

REDACTED: Final = "[redacted]"
MAX_TEXT: Final = 32 * 1024
"""Characters of a field's text that are logged; a traceback of a hundred frames has half of it."""
MAX_READ: Final = 4 * MAX_TEXT
"""Characters of it that are looked at: the worst that can be made up costs 4 us each."""
MAX_HALF: Final = 512
"""Characters at the end of what was looked at, which may be the first half of a credential."""
MAX_DEPTH: Final = 6
"""Of values within values; what lies deeper is written as one text."""
MIN_SECRET: Final = 6
"""Characters; a shorter secret of the settings would hide words that have nothing to do with it."""
ADDRESSES: Final = frozenset({"client", "client_ip", "peer"})
"""Fields whose value is the address of a client."""

_SECRET_NAME = re.compile(
    r"authorization|bearer|api[ _-]?key|token|secret|passw(?:or)?d|passphrase|cookie", re.IGNORECASE
)
_KEYS: Final = (
    r"gw-[0-9A-Za-z]{20,}",
    r"sk-(?<![0-9A-Za-z]sk-)[0-9A-Za-z_-]{8,}",
    r"eyJ(?<![0-9A-Za-z]eyJ)[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]+){0,4}",
)
"""API keys of ours, as others make them, JSON web tokens. Each begins with what CPython's search can look for, and
takes all that it reads but for a bounded number: a token without points is one too, as a row of such beginnings would
be read to its end from each of them."""
_BY_FORM = re.compile(
    r"(?<=://)[^\s/:@]{0,64}:[^\s/@]{1,256}@|(?i:(?<![a-z])(?:bearer|basic)\s{1,4}(?![=:])[^\s\"',;]+)"
)
"""A URL's name and password, an HTTP credential."""
_COUNTED = r"token[\w.-]{1,64}[\"']?\s{0,4}[:=]\s{0,4}(?:-?\d[\d._]*|null|none|true|false)(?=[\s,;)}\]&]|$)"
"""`prompt_tokens=12`, `"max_tokens": null`: how many there are is no secret."""
_LINE = r"(?:authorization|cookie)[\w-]{0,64}\s{0,4}[:=]\s{0,4}(?!\\{0,4}[\"']|b[\"'])[^\r\n]*"
"""`cookie: a=b; c=d`: a header's value ends with its line."""
_QUOTED = r"b?\"(?:[^\"\\]|\\.)*\"?|b?'(?:[^'\\]|\\.)*'?|\\{1,4}[\"'][^\"'\\]*"
_VALUE = (
    r"(?:authorization|bearer|api[ _-]?key|token|secret|passw(?:or)?d|passphrase|cookie)[\w.-]{0,64}"
    rf"(?:\\{{0,4}}[\"']\s{{0,4}}[:=,]|\s{{0,4}}[:=])>?\s{{0,4}}(?:{_QUOTED}|[^\s&]+)"
)
"""`password=x`, `"api_key": "x"`, `(b'authorization', b'x')`: the value is what is quoted, or all up to a blank."""
_BY_NAME = re.compile(rf"(?i)(?P<counted>{_COUNTED})|{_LINE}|{_VALUE}", re.DOTALL)
_NAME = re.compile(r"[\w. -]+")


class Redactor:
    """Takes out of texts and fields what nobody may read in a log.

    Args:
        secrets: those of the settings, which are known by heart; short ones aside.
        mask: whether clients' addresses are masked too.

    Attributes:
        masks: the same.
    """

    def __init__(self, secrets: Iterable[str] = (), *, mask: bool = False) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= MIN_SECRET}, key=len, reverse=True)
        self._keys = re.compile("|".join((*map(re.escape, known), *_KEYS)))
        self.masks = mask

    def word(self, word: str) -> str:
        """A name that a client chose, unless there is a key in it; 0.6 us, as requests bring one along."""
        return REDACTED if self._keys.search(word) else word

    def credentials(self, text: str) -> str:
        """The text without what is a credential wherever it stands."""
        text = self._keys.sub(REDACTED, text)
        lower = text.lower()
        # CPython searches for words of any case at a hundredth of the speed at which it finds one.
        if "://" in text or "bearer" in lower or "basic" in lower:
            return _BY_FORM.sub(REDACTED, text)
        return text

    def text(self, text: str) -> str:
        """The text without those, and without what a telling name in it introduces; at most MAX_TEXT of it."""
        whole = len(text) <= MAX_READ
        shown = _BY_NAME.sub(_without_value, self.credentials(text[:MAX_READ]))
        if not whole:
            shown = shown[:-MAX_HALF]
        if self.masks:
            shown = masked_organizations(shown)
        return shown if whole and len(shown) <= MAX_TEXT else shown[:MAX_TEXT] + " ..."

    def fields(self, fields: Mapping[str, object]) -> dict[str, object]:
        """An event's fields as they may be written: texts, numbers, and these within lists and mappings."""
        return {name: self._field(name, value, MAX_DEPTH) for name, value in fields.items()}

    def _field(self, name: str, value: object, depth: int) -> object:
        found = _SECRET_NAME.search(name)
        if found is not None:
            return _concealed(value, numbers=found[0].lower() != "token", depth=depth)
        if self.masks and name in ADDRESSES and isinstance(value, str):
            return masked(value)
        return self._value(value, depth)

    def _value(self, value: object, depth: int) -> object:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return _writable(value)
        if depth:
            if isinstance(value, Mapping):
                return {self.text(str(name)): self._field(str(name), one, depth - 1) for name, one in value.items()}
            if isinstance(value, list | tuple | set | frozenset):
                return [self._value(one, depth - 1) for one in value]
        return self.text(str(value))


def redactor_of(settings: "ObservabilitySettings") -> Redactor:
    """A redactor that knows the secrets among these settings, those of all rooms where they are all there."""
    return Redactor(_secrets(vars(settings).values()), mask=settings.log_mask_client_ips)


def _secrets(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, list):
            yield from _secrets(value)
        reveal = getattr(value, "get_secret_value", None)
        if reveal is not None:
            yield reveal()


def _concealed(value: object, *, numbers: bool, depth: int) -> object:
    """What stands under a telling name; how many tokens there are, or when the first one came, is told."""
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and not numbers):
        return _writable(value)
    if depth and isinstance(value, Mapping):
        conceal = partial(_concealed, numbers=numbers, depth=depth - 1)
        return {str(name): conceal(one) for name, one in value.items()}
    return REDACTED


def _writable(value: object) -> object:
    """The number; where JSON's writer has no room for it, its hexadecimal digits, of which Python writes any number."""
    return hex(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value


def _without_value(found: "re.Match[str]") -> str:
    if found["counted"] is not None:
        return found[0]
    name = _NAME.match(found[0])
    return f"{name[0].strip() if name else ''}={REDACTED}"
