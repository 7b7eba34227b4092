"""Where does a system prompt's beginning go? Before the client's own, in the one place that the dialect has for it."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.core.endpoint import Dialect, Endpoint

BETWEEN: Final = "\n\n"
"""Between the prefix and the client's own system prompt."""
MEMBERS: Final = {Dialect.OPENAI: "messages", Dialect.RESPONSES: "instructions", Dialect.ANTHROPIC: "system"}
NO_CHAT: Final = frozenset({"/v1/completions", "/v1/embeddings", "/v1/rerank", "/v2/rerank", "/v1/score"})
"""Paths whose text no chat template frames: there is no system prompt in it."""

encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, Raw]).decode
_text = msgspec.json.Decoder(str).decode


class _List(Struct, array_like=True):
    """A list's first item; the decoder skips all others, however many there are."""

    first: Raw | UnsetType = UNSET


_NULL: Final = Raw(b"null")
_first = msgspec.json.Decoder(_List).decode


class Prefix:
    """The beginning of every system prompt of a model.

    One system message is all that some chat templates take, and only as the first: the client's own is joined to ours
    (a first message of the role `system`), not followed.

    Args:
        text: the prefix.
        member: where the dialect has it.
    """

    def __init__(self, text: str, member: str) -> None:
        self._member = member
        self._alone = encode(text)
        self._open = encode(text + BETWEEN)[:-1]
        self._part = encode({"type": "text", "text": text + BETWEEN})
        self._message = encode({"role": "system", "content": text})

    @staticmethod
    def member_of(endpoint: Endpoint) -> str | None:
        """The member that holds it on that path; None: there is none."""
        return None if endpoint.path in NO_CHAT else MEMBERS[endpoint.dialect]

    def apply(self, stated: Mapping[str, bytes]) -> bytes | None:
        """The member's new text; None: it stays, as the backend is going to refuse it, or has nothing to say it to."""
        own = stated.get(self._member)
        if self._member == "messages":
            return None if own is None else self._before(own)
        return self._alone if own is None else self._joined(own)

    def _joined(self, own: bytes) -> bytes | None:
        """Before a system prompt, which is a text or a list of parts."""
        if own[:1] == b'"':
            return self._open + own[1:]
        if own[:1] == b"[":
            return self._inserted(own, self._part)
        return None

    def _before(self, messages: bytes) -> bytes | None:
        """Before a conversation."""
        if messages[:1] != b"[":
            return None
        first = _first(messages).first
        if first is UNSET:
            return None
        raw = bytes(first)
        message = _members(raw)
        if not _is_system(message):
            return self._inserted(messages, self._message)
        content = bytes(message.get("content", _NULL))
        joined = self._alone if content == b"null" else self._joined(content)
        if joined is None:
            return None
        return _replaced(messages, raw, encode({**message, "content": Raw(joined)}))

    @staticmethod
    def _inserted(items: bytes, item: bytes) -> bytes:
        rest = items[1:]
        return b"[%b%b%b" % (item, b"" if rest.lstrip()[:1] == b"]" else b",", rest)


def _members(item: bytes) -> dict[str, Raw]:
    """A message's; none where it is no message, which the backend is going to refuse."""
    try:
        return _object(item)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _is_system(message: Mapping[str, Raw]) -> bool:
    role = bytes(message.get("role", _NULL))
    try:
        return role[:1] == b'"' and _text(role) == "system"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _replaced(items: bytes, first: bytes, other: bytes) -> bytes:
    """A list with another first item."""
    rest = items[1:].lstrip()
    return b"[%b%b" % (other, rest[len(first) :])
