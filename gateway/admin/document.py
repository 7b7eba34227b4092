"""How is the admin API described? FastAPI's document, with the failures as this API spells them."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from gateway.admin.gate import CLIENTS_PATH
from gateway.admin.schemas.common import ErrorEnvelope

REF = "#/components/schemas/{model}"
EVERYWHERE = {
    "400": "Something that was sent will not do; `param` names it.",
    "401": "The key is missing or wrong.",
    "405": "The path has no such method; `allow` names those it has.",
    "413": "The body is too large.",
    "500": "A defect of the gateway; its log says more.",
    "503": "The database, or the running gateway's state, cannot be had now.",
}
ABSENT = {"404": "There is no such thing."}
CHANGES = {
    "409": "The change is refused: a name is taken, a key is revoked, or the settings rule what was to be changed.",
    "412": "It was changed since it was read.",
    "428": "If-Match is missing.",
}


def described(app: FastAPI, title: str) -> dict[str, Any]:
    """The document of the application's routes."""
    document = FastAPI.openapi(app)
    document["info"]["title"] = title
    for path, item in document["paths"].items():
        for method, operation in item.items():
            operation["security"] = [{"api-key": []}] if path == CLIENTS_PATH else [{"admin-key": []}, {"bearer": []}]
            answers = operation["responses"]
            answers.pop("422", None)
            answers.update({status: failure(words) for status, words in failures_of(path, method).items()})
    components = document["components"]
    _, defined = models_json_schema([(ErrorEnvelope, "serialization")], ref_template=REF)
    components["schemas"].update(defined["$defs"])
    components["schemas"].pop("HTTPValidationError", None)
    components["schemas"].pop("ValidationError", None)
    components["securitySchemes"] = {
        "admin-key": {"type": "apiKey", "in": "header", "name": "X-Admin-Key"},
        "bearer": {"type": "http", "scheme": "bearer", "description": "The admin key."},
        "api-key": {"type": "http", "scheme": "bearer", "description": "A client's key."},
    }
    return document


def failures_of(path: str, method: str) -> dict[str, str]:
    """What an operation may answer instead, by status."""
    found = dict(EVERYWHERE)
    if "{" in path:
        found |= ABSENT
    if method != "get":
        found |= CHANGES
    return found


def failure(words: str) -> dict[str, Any]:
    """One failure of the document."""
    schema = {"$ref": REF.format(model=ErrorEnvelope.__name__)}
    return {"description": words, "content": {"application/json": {"schema": schema}}}
