"""How is the whole API described? One OpenAPI 3.1 document of own and relayed paths, rendered on demand."""

from collections.abc import Iterable

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from gateway.api import usage
from gateway.api.endpoints import ENDPOINTS
from gateway.api.fleet import Models
from gateway.api.operations import OPERATIONS, Operation
from gateway.api.schemas.common import AnthropicErrorEnvelope, ErrorEnvelope, JsonObject
from gateway.core.endpoint import Access, Dialect, Endpoint
from gateway.core.envelope import error_body
from gateway.core.errors import (
    BadGatewayError,
    BadRequestError,
    BodyTimeoutError,
    GatewayError,
    GatewayTimeoutError,
    HeadTooLargeError,
    InvalidApiKeyError,
    MethodNotAllowedError,
    ModelNotAllowedError,
    ModelNotFoundError,
    PayloadTooLargeError,
    RateLimitedError,
    UnavailableError,
    UnsupportedEncodingError,
)
from gateway.core.usage_report import OwnUsage
from gateway.routing.registry import default_name

_REF = "#/components/schemas/{model}"

_INTRODUCTION = """\
One address for a small fleet of language models. OpenAI's and Anthropic's SDKs work with `base_url` set to this host.

- **Key**: `Authorization: Bearer ...` on every path but the probes and these pages; `/v1/messages` and what is below it
  take `x-api-key: ...` as well. Use *Authorize* to try them here.
- **Request id**: every answer carries `x-request-id`; name it when you report a problem.
- **Fields**: what a schema does not name is passed to vLLM as it came.
- **Streams**: server-sent events. One that fails after its start ends with an `error` event and without its end mark.
"""

_TAGS = {
    "Chat": "Text from text, in OpenAI's words.",
    "Anthropic": "The same models in Anthropic's words.",
    "Retrieval": "Vectors, rankings and tokens.",
    "Models": "The names to ask for.",
    usage.TAG: "What you have used, and what is left of your limits.",
    "Health": "For load balancers and operators.",
}
_FAILURES = (
    BadRequestError("The request is at fault: no JSON object, a field of a wrong type, a feature this fleet lacks."),
    InvalidApiKeyError("The API key is missing or wrong."),
    ModelNotAllowedError("The API key does not allow the model.", param="model"),
    ModelNotFoundError("The model does not exist.", param="model"),
    MethodNotAllowedError("The path has no such method; `allow` names those it has."),
    BodyTimeoutError("The request's body did not arrive in time."),
    PayloadTooLargeError("The request's body is too large."),
    UnsupportedEncodingError("The request's body is compressed: send it plain."),
    HeadTooLargeError("The request's headers are too long or too many."),
    RateLimitedError("Your own limit is reached: too many requests, or no free slot in time."),
    GatewayError("A defect of the gateway: report it with its `x-request-id`."),
    BadGatewayError("The backend failed."),
    UnavailableError("No backend takes work now, or API keys cannot be checked."),
    GatewayTimeoutError("The backend was silent for too long."),
)
_RETRY_LATER = frozenset({RateLimitedError.status, UnavailableError.status})
_KEY_FAILURES = ("401", "429", "503")
_COMMON_FAILURES = ("405", "431", "500")
"""What any path may answer, the open ones too."""
_CONTROL_FAILURES = ("400", "408", "413")
"""What the control process's path may answer besides: it has parameters, and its request's body is read."""
_BEFORE_THE_PATH = frozenset({HeadTooLargeError.status})
"""Refused before the path is known, so in OpenAI's words on every path."""

_HEADERS: dict[str, JsonObject] = {
    "Allow": {"description": "The path's methods, comma-separated.", "schema": {"type": "string"}},
    "RequestId": {"description": "The request's id in this gateway.", "schema": {"type": "string"}},
    "RetryAfter": {"description": "Seconds until a retry may succeed, 60 at the most.", "schema": {"type": "integer"}},
}
_SECURITY: dict[str, JsonObject] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The gateway's key."},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key."},
}


def render_document(app: FastAPI, roster: Models) -> bytes:
    """The document as JSON; `app` has the own paths, `roster` the model names for examples."""
    endpoints = {endpoint.path: endpoint for endpoint in ENDPOINTS}
    document = get_openapi(title=app.title, version=app.version, description=_INTRODUCTION, routes=app.routes)
    document["tags"] = [{"name": name, "description": words} for name, words in _TAGS.items()]
    document["servers"] = [{"url": "/", "description": "This gateway"}]
    own_paths = {**document["paths"], usage.PATH: {"get": usage.operation(_REF)}}
    for path, item in own_paths.items():
        _finish_own(item["get"], endpoints[path.replace("{model_id}", "{id}")])
    relayed = {row.path: {"post": _relayed(row, endpoints[row.path], roster)} for row in OPERATIONS}
    document["paths"] = {**relayed, **own_paths}
    components = document.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **_schemas(OPERATIONS)}
    components["schemas"].pop("HTTPValidationError", None)
    components["schemas"].pop("ValidationError", None)
    components["responses"] = {
        **_failures(Dialect.OPENAI, ErrorEnvelope),
        **_failures(Dialect.ANTHROPIC, AnthropicErrorEnvelope),
    }
    components["headers"] = _HEADERS
    components["securitySchemes"] = _SECURITY
    return orjson.dumps(document)


def _schemas(operations: Iterable[Operation]) -> JsonObject:
    bodies = (model for row in operations for model in (row.request, row.answer))
    models: list[type[BaseModel]] = [ErrorEnvelope, AnthropicErrorEnvelope, *bodies]
    # Each once, in a settled order, so that every worker and every start renders the same bytes.
    inputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in dict.fromkeys(models)]
    inputs.append((OwnUsage, "serialization"))
    _, definitions = models_json_schema(inputs, ref_template=_REF)
    schemas: JsonObject = definitions["$defs"]
    return schemas


def _relayed(row: Operation, endpoint: Endpoint, roster: Models) -> JsonObject:
    answers: JsonObject = {"application/json": {"schema": _schema(row.answer)}}
    if endpoint.streams:
        answers["text/event-stream"] = {"schema": {"type": "string"}, "example": row.stream}
    return {
        "tags": [row.tag],
        "summary": row.summary,
        "description": row.description,
        "operationId": row.path.strip("/").replace("/", "-").replace("_", "-"),
        "security": _security(endpoint),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _schema(row.request), "examples": _examples(row, endpoint, roster)}
            },
        },
        "responses": {
            "200": {
                "description": "The model's answer; events when `stream` is true."
                if endpoint.streams
                else "The answer.",
                "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
                "content": answers,
            },
            **{str(error.status): {"$ref": _response(error, endpoint.dialect)} for error in _FAILURES},
        },
    }


def _response(error: GatewayError, dialect: Dialect) -> str:
    family = "" if error.status in _BEFORE_THE_PATH else _family(dialect)
    return f"#/components/responses/{family}Error{error.status}"


def _examples(row: Operation, endpoint: Endpoint, roster: Models) -> JsonObject:
    """The row's example with a model of this fleet, whole and (where it means anything) streamed."""
    groups = (group for kind in endpoint.kinds for group in roster.of_kind(kind))
    group = None if endpoint.pinned else next(groups, None)
    body = {**({} if group is None else {"model": default_name(group)}), **row.example}
    examples = {"whole": {"summary": "The whole answer at once", "value": body}}
    if endpoint.streams:
        examples["streamed"] = {"summary": "The answer as it is generated", "value": {**body, "stream": True}}
    return examples


def _finish_own(operation: JsonObject, endpoint: Endpoint) -> None:
    """What FastAPI cannot know of an own path: its key, and how this gateway spells failures."""
    operation["security"] = _security(endpoint)
    answers = operation["responses"]
    answers.pop("422", None)
    answers |= {status: {"$ref": f"#/components/responses/Error{status}"} for status in _COMMON_FAILURES}
    if endpoint.access is Access.KEY:
        answers |= {status: {"$ref": f"#/components/responses/Error{status}"} for status in _KEY_FAILURES}
    if endpoint.control:
        answers |= {status: {"$ref": f"#/components/responses/Error{status}"} for status in _CONTROL_FAILURES}
    if endpoint.path == "/v1/models/{id}":
        answers["404"] = {"$ref": "#/components/responses/Error404"}
    if endpoint.path == "/ready":
        answers["503"] = {"$ref": "#/components/responses/Error503"}


def _security(endpoint: Endpoint) -> list[JsonObject]:
    if endpoint.access is Access.OPEN:
        return []
    schemes: list[JsonObject] = [{"bearer": []}]
    return [*schemes, {"x-api-key": []}] if endpoint.dialect is Dialect.ANTHROPIC else schemes


def _failures(dialect: Dialect, envelope: type[BaseModel]) -> JsonObject:
    """Every failure of a relayed path as a reusable response, rendered as the error boundary renders it."""
    rendered = [error for error in _FAILURES if dialect is Dialect.OPENAI or error.status not in _BEFORE_THE_PATH]
    return {f"{_family(dialect)}Error{error.status}": _failure(error, dialect, envelope) for error in rendered}


def _failure(error: GatewayError, dialect: Dialect, envelope: type[BaseModel]) -> JsonObject:
    headers = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
    if error.status in _RETRY_LATER:
        headers["retry-after"] = {"$ref": "#/components/headers/RetryAfter"}
    if error.status == MethodNotAllowedError.status:
        headers["allow"] = {"$ref": "#/components/headers/Allow"}
    example = orjson.loads(error_body(error, dialect, "5f0c6a3e9d21b784000000000000002a"))
    content = {"application/json": {"schema": _schema(envelope), "example": example}}
    return {"description": error.message, "headers": headers, "content": content}


def _family(dialect: Dialect) -> str:
    return "Anthropic" if dialect is Dialect.ANTHROPIC else ""


def _schema(model: type[BaseModel]) -> JsonObject:
    return {"$ref": _REF.format(model=model.__name__)}
