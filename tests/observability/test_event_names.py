"""An event of the log is a word for programs; what else is to be said stands in its fields."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

GATEWAY = Path(__file__).parents[2] / "gateway"
LOGS = {"log", "_log", "logger", "_logger", "tell"}
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
WORD = re.compile(r"[a-z]+(_[a-z]+)*")


def called(function: ast.expr) -> tuple[str, str]:
    """The last two names of what is called: `log`, `error` of `self.log.error(...)`."""
    names = ast.unparse(function).split(".")
    return names[-2] if len(names) > 1 else "", names[-1]


def events(source: str) -> Iterator[str]:
    """What is logged there, as far as it stands there."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            owner, name = called(node.func)
            if (owner in LOGS and name in LEVELS) or name in {"complain", "tell"}:
                yield str(node.args[0].value)


def test_every_event_is_a_word() -> None:
    found = [event for file in GATEWAY.rglob("*.py") for event in events(file.read_text())]
    assert len(found) > 30
    assert [event for event in found if not WORD.fullmatch(event)] == []


def test_a_sentence_would_be_found() -> None:
    assert list(events('logger.error("it failed")\nself._desk.complain("no; again", e)')) == ["it failed", "no; again"]
