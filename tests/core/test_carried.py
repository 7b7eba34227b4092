"""A worker has its settings' values: the same ones, which show no secret and cannot be changed."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from gateway.core.carried import carried

KEY = "sk-of-a-test"


class Some(BaseModel):
    """Of each kind of value one."""

    number: float = 1.5
    path: Path = Path("/srv")
    names: tuple[str, ...] = ("a", "b")
    nothing: str | None = None
    secret: SecretStr = SecretStr(KEY)
    secrets: list[SecretStr] = [SecretStr(KEY), SecretStr("another")]
    words: list[str] = ["x"]


def arrived() -> Any:
    """What the worker has."""
    return pickle.loads(pickle.dumps(carried(Some())))  # noqa: S301 -- what we wrote


def test_the_values_arrive_as_they_were() -> None:
    there, here = arrived(), Some()
    for name in ("number", "path", "names", "nothing", "words"):
        assert getattr(there, name) == getattr(here, name)
    assert there.secret.get_secret_value() == KEY
    assert [one.get_secret_value() for one in there.secrets] == [KEY, "another"]


def test_no_secret_is_shown() -> None:
    there = arrived()
    for shown in (repr(there), repr(vars(there)), str(there.secret), repr(there.secrets)):
        assert KEY not in shown


def test_nothing_of_them_can_be_changed() -> None:
    with pytest.raises(AttributeError, match="number"):
        arrived().number = 2.0


def test_they_need_nothing_of_the_library_that_checked_them() -> None:
    assert b"pydantic" not in pickle.dumps(carried(Some()))
