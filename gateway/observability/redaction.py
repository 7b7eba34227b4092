"""What must never stand in a line? Credentials, by their form, by their name or because they are ours; and addresses.

Texts that somebody else wrote (a library's message, an exception, a path that a stranger made up) may hold what clients
and operators keep secret. All patterns here take one step per character or a bounded number: none goes back over what
it has read, whatever it is given (`telling_names.py` says how).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.observability.masking import masked, masked_organizations
from gateway.observability.telling_names import REDACTED, as_name, is_measure, is_telling, without_introduced

if TYPE_CHECKING:
    from gateway.observability.settings import ObservabilitySettings

MAX_TEXT: Final = 32 * 1024
"""Characters of a field's text that are logged; a traceback of a hundred frames has half of it."""
MAX_READ: Final = 4 * MAX_TEXT
"""Characters of it that are looked at: the worst of 500 rows made up at random cost 0.6 us each."""
MAX_HALF: Final = 512
"""Characters at the end of what was looked at, which may be the first half of a credential."""
MAX_DEPTH: Final = 6
"""Of values within values; what lies deeper is written as one text."""
MIN_SECRET: Final = 6
"""Characters; a shorter secret of the settings would hide words that have nothing to do with it."""
ADDRESSES: Final = frozenset({"client", "client_ip", "peer"})
"""Fields whose value is the address of a client."""

_KEYS: Final = (
    r"gw-[0-9A-Za-z]{20,}",
    r"sk-(?<![0-9A-Za-z]sk-)[0-9A-Za-z_-]{8,}",
    r"eyJ(?<![0-9A-Za-z]eyJ)[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]+){0,4}",
)
"""API keys of ours, as others make them, JSON web tokens. Each begins with what CPython's search can look for, and
takes all that it reads but for a bounded number: a token without points is one too, as a row of such beginnings would
be read to its end from each of them."""
_URL = re.compile(r"://[^\s\"'<>]++")
_HTTP_CREDENTIAL = re.compile(
    r"(?i:(?<![a-z])bearer)\s++(?![=:])[^\s\"',;]++"
    r"|(?i:(?<![a-z])basic)\s++(?![=:]|[A-Za-z]?[a-z]*+[.,;:!?)]*+(?:\s|\Z))[^\s\"',;]++"
)
"""`Bearer` and `Basic` with what follows; a basic understanding is none."""


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
        if "://" in text:
            text = _URL.sub(_without_password, text)
        lower = text.lower()
        # CPython searches for words of any case at a hundredth of the speed at which it finds one.
        return _HTTP_CREDENTIAL.sub(REDACTED, text) if "bearer" in lower or "basic" in lower else text

    def text(self, text: str) -> str:
        """The text without those, and without what a telling name in it introduces; at most MAX_TEXT of it."""
        whole = len(text) <= MAX_READ
        shown = without_introduced(self.credentials(text[:MAX_READ]))
        if not whole:
            shown = shown[:-MAX_HALF]
        if self.masks:
            shown = masked_organizations(shown)
        return shown if whole and len(shown) <= MAX_TEXT else shown[:MAX_TEXT] + " ..."

    def fields(self, fields: Mapping[str, object]) -> dict[str, object]:
        """An event's fields as they may be written: texts, numbers, and these within lists and mappings."""
        return {name: self._field(name, value, MAX_DEPTH) for name, value in fields.items()}

    def _field(self, name: str, value: object, depth: int) -> object:
        if is_telling(name):
            return _concealed(value, counts=is_measure(name), depth=depth)
        if self.masks and name in ADDRESSES:
            return self._address(value, depth)
        return self._value(value, depth)

    def _value(self, value: object, depth: int) -> object:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return _writable(value)
        if depth:
            if isinstance(value, Mapping):
                return self._mapping(value, depth - 1)
            if isinstance(value, list | tuple | set | frozenset):
                return self._sequence(value, depth - 1)
        return self.text(str(value))

    def _address(self, client: object, depth: int) -> object:
        """A client's address, or address and port as a socket has them, masked."""
        if isinstance(client, tuple | list) and client:
            return [self._address(client[0], depth), *self._sequence(client[1:], depth)]
        return masked(client) if isinstance(client, str) else self._value(client, depth)

    def _mapping(self, values: Mapping[object, object], depth: int) -> dict[str, object]:
        """Each by its name; in `{"name": "cookie", "value": "a=b"}` by the one that stands in it."""
        stated = as_name(values.get("name"))
        return {
            self.text(str(name)): self._field((name == "value" and stated) or str(name), one, depth)
            for name, one in values.items()
        }

    def _sequence(self, values: Iterable[object], depth: int) -> list[object]:
        """What follows a telling name is its value, as in `("cookie", "a=b")`."""
        said: list[object] = []
        name = ""
        for one in values:
            said.append(self._field(name, one, depth))
            name = as_name(one)
        return said


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


def _concealed(value: object, *, counts: bool, depth: int) -> object:
    """What stands under a telling name; where its numbers are counts, they are told."""
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and counts):
        return _writable(value)
    if depth and isinstance(value, Mapping):
        conceal = partial(_concealed, counts=counts, depth=depth - 1)
        return {str(name): conceal(one) for name, one in value.items()}
    return REDACTED


def _writable(value: object) -> object:
    """The number; where JSON's writer has no room for it, its hexadecimal digits, of which Python writes any number."""
    return hex(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value


def _without_password(found: "re.Match[str]") -> str:
    """A URL without name and password, which may hold anything, `@` and `/` too: all up to the last `@`.

    An `@` of a path, as in `://host/@jane`, is none of theirs, unless there is a colon before it.
    """
    url = found[0].removeprefix("://")
    before, _, behind = url.rpartition("@")
    return f"://{REDACTED}{behind}" if ":" in before or "@" in url.partition("/")[0] else found[0]
