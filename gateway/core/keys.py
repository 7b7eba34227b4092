"""Is this a key that somebody chose? What betrays a placeholder, and what no header can carry."""

import re

MIN_LENGTH = 7
"""`sk-demo` is the shortest key in use; anything shorter is a slip of the hand."""

_PLACEHOLDER = re.compile(
    # Long enough that a key of 43 random letters does not hold them once in a million.
    r"(?<![a-z])change|replace|placeholder|example|secret-?key|your-?(?:key|api)|x{6,}|<[^>]*>|\$\{"
    # Chance does write `todo` or `xxx` into a key now and then: these count as words alone.
    r"|(?<![a-z0-9])(?:your|todo|tbd|dummy|insert|x{3,})(?![a-z0-9])"
    # And these as all there is.
    r"|^(?:sk-)?(?:(?:gateway|backend|api|my)[-_]?)*(?:key|secret|password|token|none|null|undefined)$|^(.)\1*$",
    re.IGNORECASE,
)


def why_unfit(key: str) -> str | None:
    """What is wrong with a key, without showing it, as the rest of a sentence that begins with its setting."""
    if not key:
        return "is not set"
    if not key.isascii() or not key.isprintable() or " " in key:
        return "holds a blank, a control character or a letter beyond ASCII"
    if _PLACEHOLDER.search(key):
        return "holds a placeholder"
    return f"holds a key of under {MIN_LENGTH} characters" if len(key) < MIN_LENGTH else None


def refuse_unfit(key: str, name: str) -> None:
    """Raise ValueError, with one sentence about the setting `name`, unless the key can be used."""
    if fault := why_unfit(key):
        raise ValueError(f"{name} {fault}: `gateway init` writes a .env with strong keys")
