"""Does a JSON value have this shape? Keys, types and fixed values are stated once, and every difference is told.

A shape is one of:

| shape                       | a value that fits                                                        |
|---|---|
| `str`, `int`, `float`, `bool`, `dict`, `list` | a value of that JSON type; `float` takes integers, `int` no booleans |
| `None`, a string, a number, a boolean | the very same value                                        |
| a compiled pattern          | a string that the pattern matches in full                                |
| `{"key": shape}`            | an object with exactly these keys                                        |
| `[shape]`                   | a list of at least one element, each of that shape                       |
| `()` or `(shape, shape)`    | a list of exactly these elements                                         |
| `either(shape, shape)`      | a value that fits one of them                                            |
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Either:
    """Fits when one of the alternatives does."""

    alternatives: tuple[Any, ...]


def either(*alternatives: Any) -> Either:
    """A value that fits one of `alternatives`."""
    return Either(alternatives)


def assert_shape(value: Any, shape: Any) -> None:
    """Fail with all differences between `value` and `shape`, each with its path."""
    found = list(differences(value, shape))
    assert not found, "\n".join(["the shape differs:", *found])


def fits(value: Any, shape: Any) -> bool:
    """Whether `value` has `shape`."""
    return next(differences(value, shape), None) is None


def differences(value: Any, shape: Any, path: str = "$") -> Iterator[str]:
    """Each difference as one line `path: what was found, what was expected`."""
    match shape:
        case dict():
            yield from _object(value, shape, path)
        case list():
            yield from _elements(value, shape[0], path)
        case tuple():
            yield from _exactly(value, shape, path)
        case Either():
            if not any(fits(value, alternative) for alternative in shape.alternatives):
                yield f"{path}: {_short(value)} fits none of {_short(shape.alternatives)}"
        case _:
            if not _plain(value, shape):
                yield f"{path}: {_short(value)}, expected {_short(shape)}"


def _plain(value: Any, shape: Any) -> bool:
    match shape:
        case re.Pattern():
            return isinstance(value, str) and shape.fullmatch(value) is not None
        case type() if shape is float:
            return isinstance(value, float | int) and not isinstance(value, bool)
        case type():
            return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
        case _:
            return type(value) is type(shape) and bool(value == shape)


def _object(value: Any, shape: Mapping[str, Any], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {_short(value)}, expected an object"
        return
    for key in sorted(shape.keys() - value.keys()):
        yield f"{path}.{key}: missing"
    for key in sorted(value.keys() - shape.keys()):
        yield f"{path}.{key}: not expected, holds {_short(value[key])}"
    for key in shape.keys() & value.keys():
        yield from differences(value[key], shape[key], f"{path}.{key}")


def _elements(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list) or not value:
        yield f"{path}: {_short(value)}, expected a list with elements"
        return
    for index, element in enumerate(value):
        yield from differences(element, shape, f"{path}[{index}]")


def _exactly(value: Any, shape: tuple[Any, ...], path: str) -> Iterator[str]:
    if not isinstance(value, list) or len(value) != len(shape):
        yield f"{path}: {_short(value)}, expected a list of {len(shape)}"
        return
    for index, (element, wanted) in enumerate(zip(value, shape, strict=True)):
        yield from differences(element, wanted, f"{path}[{index}]")


def _short(value: Any) -> str:
    text = value.__name__ if isinstance(value, type) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
