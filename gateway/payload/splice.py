"""How is a member set in a body that is not parsed? It is appended: of duplicate keys the last one wins."""

from typing import Final

_SPACE: Final = b" \t\n\r"


def splice(body: bytes, members: bytes) -> bytes:
    """Set top-level `members` (JSON text as in an object, `"a":1,"b":2`) of the JSON object `body`.

    `body` must be an object that `peek` accepted: nothing is checked here. An earlier value of the same name stays
    in the text and is overruled, as vLLM's parsers (Python's json, pydantic's) take the last of duplicate keys.
    """
    inside = body[: body.rindex(b"}")]
    # Only an empty object has its opening brace before its closing one.
    separator = b"" if inside.rstrip(_SPACE)[-1:] == b"{" else b","
    return b"%b%b%b}" % (inside, separator, members)
