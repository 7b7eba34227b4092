"""Where in a text are the tool calls? The Hermes form, read whole or as it comes."""

import re
from dataclasses import dataclass, field
from secrets import token_hex

import orjson

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_WHOLE = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_NAME = re.compile(r'"name":\s*"([^"]+)"')
_ARGUMENTS = re.compile(r'"arguments":\s*')


@dataclass(frozen=True, slots=True)
class Call:
    """One complete call; `arguments` is JSON text."""

    name: str
    arguments: str

    def as_message_part(self) -> dict[str, object]:
        """The call as a message carries it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": new_call_id(), "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Delta:
    """What one piece of a stream adds: text, the start of a call, or more of its arguments."""

    content: str = ""
    index: int = 0
    name: str | None = None
    arguments: str = ""


def new_call_id() -> str:
    """The id of one tool call."""
    return f"chatcmpl-tool-{token_hex(8)}"


def read_whole(text: str) -> tuple[str, list[Call]]:
    """The text before the calls, and the calls. A call that was cut short is text like any other."""
    calls = []
    for match in _WHOLE.finditer(text):
        call = orjson.loads(match[1])
        arguments = match[1][_end_of_arguments_key(match[1]) :].rstrip()[:-1]
        calls.append(Call(call["name"], arguments.strip()))
    if not calls:
        return text, []
    return text[: text.index(_OPEN)], calls


@dataclass(slots=True)
class Reader:
    """Reads a stream piece by piece."""

    _held: str = ""
    _inside: bool = False
    _index: int = -1
    _name: str | None = None
    _arguments: "_Braces | None" = field(default=None)

    @property
    def calls(self) -> int:
        """How many calls have begun."""
        return self._index + 1

    def feed(self, piece: str) -> list[Delta]:
        """What this piece adds; often nothing, while a tag or a name is incomplete."""
        self._held += piece
        deltas: list[Delta] = []
        while self._step(deltas):
            pass
        return deltas

    def _step(self, deltas: list[Delta]) -> bool:
        """Consume what can be understood; whether there may be more."""
        if not self._inside:
            return self._outside(deltas)
        if self._arguments is None:
            return self._before_arguments(deltas)
        taken = self._arguments.take(self._held)
        if taken:
            deltas.append(Delta(index=self._index, arguments=taken))
            self._held = self._held[len(taken) :]
        end = self._held.find(_CLOSE)
        if not self._arguments.closed or end < 0:
            return False
        self._held = self._held[end + len(_CLOSE) :]
        self._inside, self._arguments, self._name = False, None, None
        return bool(self._held)

    def _outside(self, deltas: list[Delta]) -> bool:
        if self.calls:
            self._held = self._held.lstrip("\n")
        start = self._held.find(_OPEN)
        if start < 0:
            kept = _unsure(self._held, _OPEN)
            content, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
            if content:
                deltas.append(Delta(content))
            return False
        if start:
            deltas.append(Delta(self._held[:start]))
        self._held = self._held[start + len(_OPEN) :]
        self._inside = True
        self._index += 1
        return True

    def _before_arguments(self, deltas: list[Delta]) -> bool:
        if self._name is None:
            name = _NAME.search(self._held)
            if not name:
                return False
            self._name = name[1]
            deltas.append(Delta(index=self._index, name=name[1]))
        key = _ARGUMENTS.search(self._held)
        if not key or key.end() == len(self._held):
            return False
        self._held = self._held[key.end() :]
        self._arguments = _Braces()
        return True


@dataclass(slots=True)
class _Braces:
    """Follows one JSON object to its closing brace."""

    depth: int = 0
    quoted: bool = False
    escaped: bool = False
    closed: bool = False

    def take(self, text: str) -> str:
        """The part of the text that belongs to the object."""
        for position, sign in enumerate(text):
            if self.closed:
                return text[:position]
            self._follow(sign)
        return text

    def _follow(self, sign: str) -> None:
        if self.quoted:
            if self.escaped:
                self.escaped = False
            elif sign == "\\":
                self.escaped = True
            elif sign == '"':
                self.quoted = False
        elif sign == '"':
            self.quoted = True
        else:
            self.depth += {"{": 1, "}": -1}.get(sign, 0)
            self.closed = sign == "}" and self.depth == 0


def _end_of_arguments_key(text: str) -> int:
    match = _ARGUMENTS.search(text)
    return match.end() if match else len(text)


def _unsure(text: str, tag: str) -> int:
    """How many characters at the end may be the beginning of the tag."""
    for length in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-length:]):
            return length
    return 0
