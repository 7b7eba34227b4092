"""Which words of a text matter? Shared by all that answer a prompt."""

import re

_WORD = re.compile(r"[^\W_]+")
_COMMON = frozenset(
    [
        "a",
        "about",
        "all",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "each",
        "for",
        "from",
        "give",
        "had",
        "has",
        "have",
        "hello",
        "hey",
        "hi",
        "how",
        "i",
        "if",
        "in",
        "is",
        "it",
        "its",
        "just",
        "let",
        "list",
        "me",
        "my",
        "need",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "out",
        "per",
        "please",
        "say",
        "show",
        "so",
        "tell",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "up",
        "us",
        "use",
        "want",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "write",
        "you",
        "your",
    ]
)


def words(text: str) -> list[str]:
    """All words, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def stem(word: str) -> str:
    """A word without its commonest endings, so that `orders` meets `order`."""
    for ending, rest in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3:  # noqa: PLR2004 -- shorter stems say nothing
            return word[: -len(ending)] + rest
    return word


def keywords(text: str, most: int = 6) -> list[str]:
    """The words that carry a text's meaning, in order, each once."""
    seen: dict[str, None] = {}
    for word in words(text):
        if word not in _COMMON and len(word) > 1:
            seen.setdefault(word)
    return list(seen)[:most]
