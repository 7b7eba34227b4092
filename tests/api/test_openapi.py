"""The OpenAPI document: whole, consistent in itself, and true to the allow-list and the fleet."""

from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI

from gateway.api.endpoints import ENDPOINTS
from gateway.api.openapi import render_document
from gateway.api.operations import OPERATIONS
from gateway.backends.roster import Roster
from gateway.core.endpoint import Access, Dialect, Endpoint
from tests.api.served import whole_roster

pytestmark = pytest.mark.anyio

DESCRIBED = [row for row in ENDPOINTS if row.access is not Access.ADMIN]
"""Those of administrators are described to them, at /admin/openapi.json."""
UNDOCUMENTED = ("/docs", "/openapi.json")
MODEL_PATHS = {"/v1/models/{id}": "/v1/models/{model_id}"}


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    return body


def operations(document: dict[str, Any]) -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    """Each row of the allow-list that is documented, with its operation."""
    for row in DESCRIBED:
        if not row.path.startswith(UNDOCUMENTED):
            item = document["paths"][MODEL_PATHS.get(row.path, row.path)]
            yield row, item["post" if row.relayed else "get"]


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: dict[str, Any], reference: str) -> Any:
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


async def test_the_document_lists_the_allow_list_and_nothing_else(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    rows = {MODEL_PATHS.get(row.path, row.path) for row in DESCRIBED if not row.path.startswith(UNDOCUMENTED)}
    assert set(document["paths"]) == rows
    assert {method for item in document["paths"].values() for method in item} == {"get", "post"}


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert len(found) > 30
    for reference in found:
        assert resolve(document, reference)


async def test_no_two_operations_share_an_id_and_no_id_has_an_underscore(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert not [name for name in ids if "_" in name]


async def test_every_operation_stands_under_a_described_tag(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"]}
    assert {tag for _, operation in operations(document) for tag in operation["tags"]} == described


async def test_a_key_is_asked_for_exactly_where_the_allow_list_does(document: dict[str, Any]) -> None:
    schemes = set(document["components"]["securitySchemes"])
    for row, operation in operations(document):
        assert bool(operation["security"]) == (row.access is Access.KEY), row.path
        assert {name for choice in operation["security"] for name in choice} <= schemes
        takes_x_api_key = {"x-api-key": []} in operation["security"]
        assert takes_x_api_key == (row.dialect is Dialect.ANTHROPIC), row.path


async def test_relayed_paths_state_their_failures_in_their_dialect(document: dict[str, Any]) -> None:
    for row, operation in operations(document):
        if not row.relayed:
            continue
        answers = operation["responses"]
        assert set(answers) >= {"200", "400", "401", "404", "413", "429", "502", "503", "504"}
        failure = resolve(document, answers["429"]["$ref"])
        assert set(failure["headers"]) == {"x-request-id", "retry-after"}
        example = failure["content"]["application/json"]["example"]
        assert ("type" in example) == (row.dialect is Dialect.ANTHROPIC), row.path
        assert set(references(answers["200"])) >= {"#/components/headers/RequestId"}


async def test_every_path_states_what_any_request_may_meet(document: dict[str, Any]) -> None:
    for row, operation in operations(document):
        answers = operation["responses"]
        assert set(answers) >= {"405", "431", "500"}, row.path
        assert "allow" in resolve(document, answers["405"]["$ref"])["headers"]
        too_large = resolve(document, answers["431"]["$ref"])["content"]["application/json"]["example"]
        assert too_large["error"]["code"] == "headers_too_large", row.path
        defect = resolve(document, answers["500"]["$ref"])["content"]["application/json"]["example"]
        assert ("type" in defect) == (row.dialect is Dialect.ANTHROPIC), row.path


async def test_the_introduction_names_both_ways_to_send_a_key(document: dict[str, Any]) -> None:
    assert "`Authorization: Bearer ...`" in document["info"]["description"]
    assert "`x-api-key: ...`" in document["info"]["description"]


async def test_streaming_paths_offer_events(document: dict[str, Any]) -> None:
    for row, operation in operations(document):
        media = operation["responses"]["200"]["content"]
        assert ("text/event-stream" in media) == row.streams, row.path


async def test_schemas_of_requests_let_unknown_fields_pass(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert all(schemas[row.request.__name__]["additionalProperties"] is True for row in OPERATIONS)


async def test_fastapis_own_validation_error_is_not_in_it(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in orjson.dumps(document).decode()
    assert "422" not in orjson.dumps(document).decode()


async def test_examples_name_a_model_of_this_fleet_that_serves_the_path(document: dict[str, Any]) -> None:
    kinds = {name: group.kind for group in whole_roster().groups for name in group.model_names}
    for row, operation in operations(document):
        if not row.relayed:
            continue
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        body = examples["whole"]["value"]
        assert ("streamed" in examples) == row.streams
        if row.pinned:
            assert "model" not in body
        else:
            assert kinds[body["model"]] is row.kinds[0], row.path


def test_a_fleet_without_a_kind_leaves_the_model_out_of_its_examples() -> None:
    chat_only = Roster(whole_roster().groups[:1])
    document = orjson.loads(render_document(FastAPI(), chat_only))
    embeddings = document["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]
    assert "model" not in embeddings["examples"]["whole"]["value"]
