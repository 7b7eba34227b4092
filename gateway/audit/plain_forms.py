"""What does a text say whose digits and signs are another script's, or full width, or parted by what nobody sees?"""

import re
from typing import Final

_OTHER_FORMS = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff\uff01-\uff5e]|(?![0-9])\\d")
"""Soft hyphens, characters without width, ASCII's signs in full width, and every script's digits."""
_FULL_WIDTH: Final = "\uff01"
_FROM_ASCII: Final = ord(_FULL_WIDTH) - ord("!")


def in_plain_forms(text: str) -> str:
    """The text with ASCII's digits and signs, and without what has no width; the same object where nothing differs."""
    if text.isascii():
        return text
    plain = _OTHER_FORMS.sub(_plain, text)
    return text if plain == text else plain


def _plain(found: "re.Match[str]") -> str:
    character = found[0]
    if character.isdecimal():
        return str(int(character))
    return chr(ord(character) - _FROM_ASCII) if character >= _FULL_WIDTH else ""  # all others have no width
