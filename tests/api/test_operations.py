"""The documentation of the relayed paths: complete, and its examples fit its own schemas."""

import pytest
from pydantic import ValidationError

from gateway.api.endpoints import ENDPOINTS
from gateway.api.operations import OPERATIONS, Operation


def test_every_relayed_path_is_documented_once_and_nothing_else_is() -> None:
    documented = [row.path for row in OPERATIONS]
    assert sorted(documented) == sorted(row.path for row in ENDPOINTS if row.relayed)


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.path)
def test_an_example_fits_the_schema_it_stands_beside(row: Operation) -> None:
    read = row.request.model_validate(row.example)
    assert row.example.keys() <= read.model_fields_set  # each member is one that the schema names
    assert not read.model_extra


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.path)
def test_a_schema_asks_for_something(row: Operation) -> None:
    if row.path != "/v1/tokenize":  # a prompt or a conversation: the schema can demand neither
        with pytest.raises(ValidationError):
            row.request.model_validate({})


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.path)
def test_a_stream_is_shown_exactly_where_there_can_be_one(row: Operation) -> None:
    streams = {endpoint.path for endpoint in ENDPOINTS if endpoint.streams}
    assert bool(row.stream) == (row.path in streams)
