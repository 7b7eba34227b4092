"""How is `/v1/usage` described to clients? In the words of the control process, which answers it."""

from gateway.api.schemas.common import JsonObject
from gateway.core.usage_report import OwnUsage

PATH = "/v1/usage"
TAG = "Usage"

_DAY: JsonObject = {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}


def operation(ref: str) -> JsonObject:
    """The operation, without its failures; `ref` leads to the schema `{model}`."""
    return {
        "tags": [TAG],
        "summary": "Own Usage",
        "description": "What you have used yourself, by model or by day, and what is left of your limits.",
        "operationId": "own-usage",
        "parameters": [
            _parameter("by", {"type": "string", "enum": ["model", "day"], "default": "model"}, "Under which headings."),
            _parameter("from", _DAY, "The first day, as 2026-11-01; without it the month's."),
            _parameter("to", _DAY, "The last day; without it today."),
        ],
        "responses": {
            "200": {
                "description": "All of it, however long.",
                "content": {"application/json": {"schema": {"$ref": ref.format(model=OwnUsage.__name__)}}},
            }
        },
    }


def _parameter(name: str, schema: JsonObject, description: str) -> JsonObject:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
