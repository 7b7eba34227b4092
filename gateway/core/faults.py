"""Does a backend's JSON state an error? The one reading of a member `error`, for whole answers and for events."""

from typing import Final

from msgspec import UNSET, Raw, UnsetType

_NONE: Final = frozenset({b"null", b"false", b'""', b"{}"})
"""Values that state none: a response that succeeded says null."""


def states_error(member: Raw | UnsetType) -> bool:
    """Whether a member `error` of that value states one; an absent one does not."""
    return member is not UNSET and bytes(member) not in _NONE
