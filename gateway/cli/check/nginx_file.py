"""Which times does nginx keep? Its configuration as it stands in the folder, read without running it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.check.seconds import seconds

NGINX_FILE = Path("nginx/nginx.conf")
ENTRYPOINT = Path("nginx/entrypoint.sh")

_TOKEN = re.compile(r"""\s*(?:#[^\n]*|("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[;{}]|(?:\$\{[^}]*\}|[^\s;{}"'])+))""")
_SETTING = re.compile(r"^setting (\w+) (\S+) ", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Time:
    """A time that a directive states.

    Args:
        written: how to write another one, with `{}` for it: a directive, or the setting that it takes its value from.
    """

    seconds: float
    written: str


class Nginx:
    """The directives of a configuration.

    Args:
        text: the file, `${NAME}` standing for settings.
        settings: their values.
    """

    def __init__(self, text: str, settings: Mapping[str, str]) -> None:
        self._directives = list(_directives(text))
        self._settings = settings

    @classmethod
    def at_hand(cls, stated: Mapping[str, str]) -> "Nginx | None":
        """That of NGINX_FILE, where there is one; `stated` goes before the defaults of its entrypoint."""
        if not NGINX_FILE.is_file():
            return None
        script = ENTRYPOINT.read_text(encoding="utf-8") if ENTRYPOINT.is_file() else ""
        defaults = {name: default.strip("'\"") for name, default in _SETTING.findall(script)}
        return cls(NGINX_FILE.read_text(encoding="utf-8"), {**defaults, **stated})

    def times(self, directive: str, *, of_upstreams: bool) -> list[Time]:
        """What a directive states, within upstreams or without: `keepalive_timeout` is another thing in each."""
        return [
            time
            for blocks, words in self._directives
            if words[0] == directive and any(block.startswith("upstream ") for block in blocks) is of_upstreams
            for time in [self._time(words)]
            if time is not None
        ]

    def _time(self, words: list[str]) -> Time | None:
        name, value = words[0], words[1] if len(words) > 1 else ""
        written = f"`{name} {{}}s;`"
        if setting := _PLACEHOLDER.fullmatch(value):
            value = self._settings.get(setting[1], "")
            written = f"{setting[1]}={{}}s for the nginx service"
        span = seconds(value)
        return None if span is None else Time(span, written)


def _directives(text: str) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Each directive's words, and the blocks that it stands in, outermost first."""
    blocks: list[str] = []
    words: list[str] = []
    for word in _TOKEN.findall(text):
        if word == ";":
            if words:
                yield tuple(blocks), words
            words = []
        elif word == "{":
            blocks.append(" ".join(words))
            words = []
        elif word == "}":
            blocks = blocks[:-1]
        elif word:
            words.append(word)
