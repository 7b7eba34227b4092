"""What are settings to a worker? Their values: who checked them stays behind, with the library that the checks need."""

from collections.abc import Iterable
from typing import Any


class Secret:
    """A secret setting's value, which shows itself to nobody who did not ask for it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """The value; the name is pydantic's, so that rooms need not know which of both they have."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('**********')"


class Carried:
    """Settings by their names, without a way to change them.

    A worker has no need of the models: pydantic is 15 MiB of it and a third of its start.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"settings are as they were read: {name} cannot be changed")


def carried(settings: Iterable[tuple[str, Any]]) -> Any:  # noqa: ANN401 -- of whichever model the settings are
    """The settings for another process; a pydantic model gives its names and values as it is iterated."""
    return Carried({name: _plain(value) for name, value in settings})


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    reveal = getattr(value, "get_secret_value", None)
    return value if reveal is None else Secret(reveal())
