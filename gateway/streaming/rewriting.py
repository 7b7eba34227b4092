"""How is an event changed that is not spelled as usual? By its members, each copied as it stands."""

import msgspec
import orjson
from msgspec import Raw

_members = msgspec.json.Decoder(dict[str, Raw])


def json_name(model: str) -> bytes:
    """A model's name as JSON text."""
    return orjson.dumps(model)


def rewrite(data: bytes, *, name: bytes | None, holder: str | None = None, drop_usage: bool = False) -> bytes:
    """Set the model of one event's JSON object, and take out what it states of usage.

    Args:
        data: the event's data.
        name: the model's name as JSON text, None to leave it.
        holder: the member that holds the model's name, None when the event itself does.
        drop_usage: whether the event's own `usage` goes.

    Raises:
        msgspec.DecodeError: `data`, or its holder, is no JSON object.
    """
    members = _members.decode(data)
    changed = drop_usage and members.pop("usage", None) is not None
    if name is not None:
        changed |= _set_model(members, holder, name)
    return msgspec.json.encode(members) if changed else data


def _set_model(members: dict[str, Raw], holder: str | None, name: bytes) -> bool:
    if holder is None:
        if "model" not in members:
            return False
        members["model"] = Raw(name)
        return True
    inner = _members.decode(members.get(holder, Raw(b"{}")))
    if not _set_model(inner, None, name):
        return False
    members[holder] = Raw(msgspec.json.encode(inner))
    return True
