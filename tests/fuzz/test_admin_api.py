"""Does the admin API keep to its own OpenAPI document? Asked by schemathesis, before an empty database."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.database import revisions
from gateway.database.settings import DatabaseSettings
from tests.fuzz.effort import examples
from tests.support.admin import ADMIN_KEY, AdminServer

pytestmark = pytest.mark.hypothesis  # of the examples' own, inside the tests, pytest does not know

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PRINCIPAL = '{"organization": "org:acme", "key_id": "key_0"}'
OPERATIONS = [
    *[("POST", f"/admin/v1/{kind}") for kind in ("keys", "organizations", "models", "backends")],
    *[("GET", f"/admin/v1/{kind}") for kind in ("keys", "organizations", "models", "backends", "usage", "audit")],
    *[("GET", f"/admin/v1/{kind}") for kind in ("state", "limits")],
    *[
        (method, f"/admin/v1/{kind}/{{{name}}}")
        for kind, name in (("organizations", "organization"), ("models", "model_id"), ("backends", "backend_id"))
        for method in ("GET", "PATCH", "DELETE")
    ],
    *[(method, "/admin/v1/keys/{key_id}") for method in ("GET", "PATCH")],
    *[("POST", f"/admin/v1/keys/{{key_id}}/{what}") for what in ("revoke", "rotate")],
    *[("POST", f"/admin/v1/backends/{{backend_id}}/{what}") for what in ("drain", "undrain")],
    ("POST", "/admin/v1/cache/flush"),
    ("GET", "/admin/v1/usage/requests"),
    ("GET", "/admin/quotas"),
    ("GET", "/admin/quota/{organization}"),
    ("GET", "/v1/usage"),
]
SECRETS = (ADMIN_KEY, "Traceback", "gateway/", ".py", "sqlalchemy")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminServer]:
    database = DatabaseSettings(data_path=tmp_path_factory.mktemp("data"))
    revisions.upgrade(database)
    with AdminServer(database) as running:
        yield running


@pytest.fixture(scope="module")
def document(server: AdminServer) -> dict[str, Any]:
    with server.client() as client:
        found: dict[str, Any] = client.get("/admin/openapi.json").json()
    return found


def test_the_operations_asked_here_are_those_of_the_document(document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == set(OPERATIONS)


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["to the schema", "against it"]
)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_a_documented_one_and_no_failure(
    server: AdminServer, document: dict[str, Any], method: str, path: str, mode: GenerationMode
) -> None:
    operation = schemathesis.openapi.from_dict(document)[path][method]
    if mode is GenerationMode.NEGATIVE and method == "GET" and "parameters" not in document["paths"][path]["get"]:
        mode = GenerationMode.POSITIVE  # it takes nothing that could be wrong

    @settings(examples(15), phases=[phase for phase in Phase if phase is not Phase.shrink])
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        headers = {"x-admin-key": ADMIN_KEY, "x-gateway-principal": PRINCIPAL}
        response = case.call(base_url=server.url, headers=headers)
        told = f"asked {case.body!r}, answered {response.status_code} {response.text!r}"
        assert response.status_code < 500, told
        assert [secret for secret in SECRETS if secret in response.text] == [], told
        is_table = response.headers.get("content-type", [""])[0].startswith("text/csv")
        bare = response.status_code == 204 or is_table
        case.validate_response(response, checks=CHECKS[:1] if bare else CHECKS)

    ask()
