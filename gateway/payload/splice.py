"""How is a field set in a body that is not parsed? It is appended: of duplicate keys the last one wins."""

from collections.abc import Mapping
from typing import Final

import orjson

_SPACE: Final = b" \t\n\r"


def splice(body: bytes, fields: Mapping[str, bytes]) -> bytes:
    """Set top-level `fields` (name to JSON text) of the JSON object `body` in one copy.

    `body` must be an object that `peek` accepted: nothing is checked here. An earlier value of the same name stays
    in the text and is overruled, as vLLM's parsers (Python's json, pydantic's) take the last of duplicate keys.
    """
    if not fields:
        return body
    end = len(body.rstrip(_SPACE)) - 1
    # Only an empty object has its opening brace before its closing one.
    separator = b"" if body[max(0, end - 1) : end] == b"{" or body[:end].rstrip(_SPACE).endswith(b"{") else b","
    members = b",".join(b"%b:%b" % (orjson.dumps(name), value) for name, value in fields.items())
    return b"".join((memoryview(body)[:end], separator, members, b"}"))
