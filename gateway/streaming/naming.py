"""Under which model name does an event go out? The name that was asked for, in the one place that states it."""

import re
from typing import Final

import msgspec
import orjson
from msgspec import Raw

_HEAD: Final = re.compile(rb'data: \{(?:"(?:id|object)":"[^"\\\n]*",|"created":\d+,)+"model":"[^"\\\n]*"')
"""How every chunk of one vLLM stream begins: with the same id, object, time and model."""

_members = msgspec.json.Decoder(dict[str, Raw])


class Renamer:
    """Puts one name in place of the backend's, in the top-level field only.

    The first event's beginning is learned; it is the same in all that follow, and as it starts with a raw quote it
    cannot stand inside a JSON string, so a run of events is renamed by one replacement.
    """

    __slots__ = ("_name", "_new", "_old")

    def __init__(self, model: str) -> None:
        self._name = orjson.dumps(model)
        self._old: bytes | None = None
        self._new = b""

    def run(self, block: bytes, events: int) -> bytes | None:
        """Rename a run of `events` events; None when one of them does not begin as learned."""
        if self._old is None or block.count(self._old) != events:
            return None
        return block.replace(self._old, self._new)

    def one(self, raw: bytes, data: bytes, holder: str | None) -> bytes:
        """Rename one event whose model stands in its member `holder`, or in itself.

        Raises:
            msgspec.DecodeError: its data is no JSON object.
        """
        if holder is None:
            old = self._old
            if old is None or not raw.startswith(old):
                old = self._learn(raw)
            if old is not None:
                return self._new + raw[len(old) :]
        members = _members.decode(data)
        if holder is None:
            changed = self._set(members)
        elif holder in members and bytes(members[holder]).startswith(b"{"):
            inner = _members.decode(members[holder])
            changed = self._set(inner)
            members[holder] = Raw(msgspec.json.encode(inner))
        else:
            changed = False
        return raw.replace(data, msgspec.json.encode(members)) if changed else raw

    def _learn(self, raw: bytes) -> bytes | None:
        head = _HEAD.match(raw)
        if head is None:
            return None
        self._old = head.group()
        self._new = self._old.rpartition(b'"model":')[0] + b'"model":' + self._name
        return self._old

    def _set(self, members: dict[str, Raw]) -> bool:
        if "model" not in members:
            return False
        members["model"] = Raw(self._name)
        return True
