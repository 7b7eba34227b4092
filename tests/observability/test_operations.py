"""What a room tells of its operations is shown by their names, from the start on."""

import os
from collections.abc import Iterator

import pytest

from gateway.observability.families.books import DATABASE_ERRORS, DATABASE_SECONDS
from gateway.observability.metrics import Metrics
from gateway.observability.operations import Operations
from gateway.observability.page import PageReader, create_page


@pytest.fixture
def page() -> Iterator[int]:
    descriptor = create_page()
    yield descriptor
    os.close(descriptor)


def shown(page: int, family: str) -> dict[str, list[float]]:
    return {series.labels[0]: series.values for series in PageReader(page).read() if series.family == family}


def test_times_and_failures_are_shown_by_operation_and_zero_at_first(page: int) -> None:
    told = Operations(Metrics(page), DATABASE_SECONDS, DATABASE_ERRORS, ("read", "write"))
    assert shown(page, DATABASE_ERRORS.name) == {"read": [0], "write": [0]}
    assert shown(page, DATABASE_SECONDS.name) == dict.fromkeys(("read", "write"), [0.0] * DATABASE_SECONDS.width)
    for seconds in (0.25, 0.5):
        told.took("read", seconds)
    told.failed("write")
    assert shown(page, DATABASE_ERRORS.name) == {"read": [0], "write": [1]}
    assert shown(page, DATABASE_SECONDS.name)["read"][0] == 0.75
    assert sum(shown(page, DATABASE_SECONDS.name)["read"][1:]) == 2
