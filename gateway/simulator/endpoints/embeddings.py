"""POST /v1/embeddings: which vector does a text get?"""

import base64
import struct
from collections.abc import Sequence

from gateway.simulator.bodies.parsing import validate
from gateway.simulator.bodies.reading import EmbeddingBody
from gateway.simulator.content.calls import spaced_json
from gateway.simulator.content.vectors import embedding, unit
from gateway.simulator.endpoints.pooling import finished, fitted, pooling_usage
from gateway.simulator.errors import bad_request
from gateway.simulator.exchange import Exchange
from gateway.simulator.pace import wall_seconds
from gateway.simulator.service import Service


async def embeddings(service: Service, exchange: Exchange, data: object) -> None:
    """Answer with one vector per input."""
    body = validate(EmbeddingBody, data)
    service.check_model(exchange, body)
    inputs = [fitted(service, item, body.truncate_prompt_tokens) for item in inputs_of(body)]
    dimensions = _dimensions(service, body.dimensions)
    service.engine.check_admission(len(inputs))
    answer_id = exchange.new_id("embd")
    job = service.start_pooling(exchange, [count for _, count in inputs], body.priority)
    await finished(service, exchange, job)
    vectors = [unit(embedding(text, service.options.dimensions)[:dimensions]) for text, _ in inputs]
    created = wall_seconds()
    if body.encoding_format in ("bytes", "bytes_only"):
        spent = {"prompt_tokens": job.prompt_tokens, "total_tokens": job.prompt_tokens}
        head = {"id": answer_id, "created": created, "model": service.model}
        metadata = {**head, "data": _places(vectors), "usage": spent}
        await _as_bytes(exchange, vectors, metadata if body.encoding_format == "bytes" else None)
        return
    encoded = vectors if body.encoding_format == "float" else [_base64(vector) for vector in vectors]
    answer = {
        "id": answer_id,
        "object": "list",
        "created": created,
        "model": service.model,
        "data": [{"index": i, "object": "embedding", "embedding": item} for i, item in enumerate(encoded)],
        "usage": pooling_usage(job.prompt_tokens),
    }
    await exchange.json(answer)


def inputs_of(body: EmbeddingBody) -> list[str | list[int]]:
    """The texts of a request, or the token ids of texts that were tokenized before.

    Raises:
        Refusal: 400 when there is none.
    """
    given = body.input
    if isinstance(given, str):
        return [given]
    if not given:
        raise bad_request("You must pass at least one prompt")
    ids = [item for item in given if isinstance(item, int)]
    return [ids] if ids else [item for item in given if not isinstance(item, int)]


def _dimensions(service: Service, wanted: int | None) -> int:
    """How long the vectors shall be.

    Raises:
        Refusal: 400 unless the model was made to be cut to this length.
    """
    full, allowed = service.options.dimensions, service.options.matryoshka
    if wanted is None:
        return full
    if allowed is None:
        raise bad_request(
            f"Model '{service.model}' does not support Matryoshka embeddings; "
            f"dimensions must be unset (received dimensions={wanted})."
        )
    if wanted not in allowed:
        raise bad_request(
            f"Model '{service.model}' only supports Matryoshka dimensions {sorted(allowed)}, got {wanted}."
        )
    return wanted


def _packed(vector: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(vector)}f", *vector)


def _base64(vector: Sequence[float]) -> str:
    """Little-endian float32."""
    return base64.b64encode(_packed(vector)).decode()


def _places(vectors: list[list[float]]) -> list[dict[str, object]]:
    """Where in the body each vector lies."""
    size = len(vectors[0]) * 4
    return [
        {
            "index": i,
            "embed_dtype": "float32",
            "endianness": "native",
            "start": i * size,
            "end": (i + 1) * size,
            "shape": [len(vector)],
        }
        for i, vector in enumerate(vectors)
    ]


async def _as_bytes(exchange: Exchange, vectors: list[list[float]], metadata: object) -> None:
    """All vectors in one chunked body, after a header that says where each one lies, if that was asked for."""
    named = [(b"metadata", spaced_json(metadata).encode("latin-1", "replace"))] if metadata else []
    await exchange.chunked(b"".join(map(_packed, vectors)), [*named, (b"content-type", b"application/octet-stream")])
