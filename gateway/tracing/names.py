"""What are things called in spans? By OpenTelemetry's words where it has any; those for models may still change."""

from typing import Final

from gateway.core.endpoint import Endpoint

METHOD: Final = "http.request.method"
ROUTE: Final = "http.route"
STATUS: Final = "http.response.status_code"
RESENDS: Final = "http.request.resend_count"
SERVER: Final = "server.address"
PORT: Final = "server.port"
ERROR: Final = "error.type"

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
ASKED_MODEL: Final = "gen_ai.request.model"
STREAM: Final = "gen_ai.request.stream"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
CHOICES: Final = "gen_ai.request.choice.count"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
"""Seconds, from the attempt's beginning."""

REQUEST_ID: Final = "gateway.request_id"
ORGANIZATION: Final = "gateway.organization"
KEY: Final = "gateway.key"
MODEL: Final = "gateway.model"
OUTCOME: Final = "gateway.outcome"
ATTEMPTS: Final = "gateway.attempts"
QUEUE_WAIT: Final = "gateway.queue_wait"
"""Seconds."""
FIRST_TOKEN: Final = "gateway.time_to_first_token"  # noqa: S105 -- a name, no secret
"""Seconds, from the request's arrival."""
CACHE: Final = "gateway.cache"
CLIENT_LEFT: Final = "gateway.client_left"
BACKEND: Final = "gateway.backend"

VLLM: Final = "vllm"
QUEUE_SPAN: Final = "queue"

OPERATIONS: Final = {
    b"/v1/chat/completions": "chat",
    b"/v1/responses": "chat",
    b"/v1/messages": "chat",
    b"/v1/completions": "text_completion",
    b"/v1/embeddings": "embeddings",
}
"""By the path at the backend."""


def operation_of(endpoint: Endpoint) -> str:
    """OpenTelemetry's word for what an endpoint does; for the rest the last part of its path: `rerank`, `score`."""
    path = endpoint.upstream_path or b""
    return OPERATIONS.get(path) or path.rpartition(b"/")[2].decode("ascii")
