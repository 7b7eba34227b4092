"""How does a room say what happened? By the one log that all of them share, an event's name and its fields."""

from typing import Protocol


class EventLog(Protocol):
    """Says events; a field's value is what a line of JSON can hold, or is said in words."""

    def info(self, event: str, /, **fields: object) -> object:
        """Something happened that an operator may want to know."""
        ...

    def warning(self, event: str, /, **fields: object) -> object:
        """Something happened that an operator may want to change."""
        ...

    def exception(self, event: str, /, **fields: object) -> object:
        """A defect of ours showed itself; the stack of the exception that is being handled goes with it."""
        ...
