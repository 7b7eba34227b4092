"""Is this a secret that somebody meant to keep? What credentials look like, and what only looks like one."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from gateway.auth.api_key import is_well_formed

FORMS: dict[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "a key of AWS": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a key of Google": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a token of GitHub": re.compile(r"\b(?:gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{50,})\b"),
    "a token of GitLab": re.compile(r"\bglpat-[0-9A-Za-z_-]{20,}"),
    "a token of Hugging Face": re.compile(r"\bhf_[0-9A-Za-z]{30,}\b"),
    "a key of a model service": re.compile(r"\bsk-(?:ant-|proj-|svcacct-)[0-9A-Za-z_-]{20,}"),
    "a token of Slack": re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{10,}"),
    "a token of a package registry": re.compile(r"\b(?:pypi-AgE[0-9A-Za-z_-]{20,}|npm_[0-9A-Za-z]{36})\b"),
    "a password in a URL": re.compile(
        r"\b[a-z][a-z0-9+]*://[^\s/:@'\"`{}$<>]*:(?![A-Z_]+@)(?P<secret>[^\s/@'\"`{}$<>%]{12,})@"
    ),
}
"""By how they begin: the issuers made them so for scanners."""
OUR_KEY = re.compile(r"gw-[0-9A-Za-z]{30,}")
OPAQUE = re.compile(r"(?<![0-9A-Za-z+/_-])[0-9A-Za-z+/_-]{32,}={0,2}(?![0-9A-Za-z+/=_-])")
"""What has no form but its randomness: base64, or hexadecimal."""
RANDOM_BITS = 4.4
"""Of entropy per character, by what characters a text has; words and names stay below, 40 random ones above."""
HEXADECIMAL = re.compile(r"[0-9a-f]{32,}")
HEXADECIMAL_BITS = 3.4
SHORTEST_NAME = 3


class Finding(NamedTuple):
    """What was found, and where; the text itself is shown in part, as a finding may be real."""

    kind: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.kind}: {self.text[:8]}... ({len(self.text)} characters)"


def findings(content: str) -> Iterator[Finding]:
    """Whatever in a file looks like a credential."""
    for kind, text, place in _looks(content):
        yield Finding(kind, content.count("\n", 0, place) + 1, text)


def _looks(content: str) -> Iterator[tuple[str, str, int]]:
    """The kind, the text and its place."""
    for kind, form in FORMS.items():
        for found in form.finditer(content):
            yield kind, found.groupdict().get("secret") or found[0], found.start()
    for found in OUR_KEY.finditer(content):
        if is_well_formed(found[0].encode()):
            yield "a key of this gateway", found[0], found.start()
    for found in OPAQUE.finditer(content):
        if is_random(found[0]):
            yield "a text of chance", found[0], found.start()


def is_random(text: str) -> bool:
    """Whether a text has digits and letters mixed as only chance, or a hash, mixes them."""
    if any(len(part) > SHORTEST_NAME and part.isalpha() and part.islower() for part in text.split("/")[1:]):
        return False  # a path
    bits = entropy(text)
    if HEXADECIMAL.fullmatch(text):
        return bits > HEXADECIMAL_BITS
    kinds = (any(c.islower() for c in text), any(c.isupper() for c in text), any(c.isdigit() for c in text))
    return all(kinds) and bits > RANDOM_BITS


def entropy(text: str) -> float:
    """Bits per character, by how often each stands in it."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
