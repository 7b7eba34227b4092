"""POST /v1/embeddings: which vector does a text get?"""

import base64
import struct
from collections.abc import Sequence

import orjson

from gateway.simulator import tokens
from gateway.simulator.bodies import EmbeddingBody, validate
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
    head: dict[str, object] = {
        "id": answer_id,
        "object": "list",
        "created": wall_seconds(),
        "model": service.model,
    }
    tail = {"usage": pooling_usage(job.prompt_tokens)}
    if body.encoding_format in ("bytes", "bytes_only"):
        await _as_bytes(exchange, vectors, {**head, **tail}, named=body.encoding_format == "bytes")
        return
    encoded = vectors if body.encoding_format == "float" else [_base64(vector) for vector in vectors]
    rows = [{"index": i, "object": "embedding", "embedding": item} for i, item in enumerate(encoded)]
    await exchange.json({**head, "data": rows, **tail})


def inputs_of(body: EmbeddingBody) -> list[str]:
    """The texts of a request; lists of token ids are texts that were tokenized before.

    Raises:
        Refusal: 400 when there is none.
    """
    given = body.input
    if isinstance(given, str):
        return [given]
    if not given:
        raise bad_request("You must pass at least one prompt")
    numbers = [item for item in given if isinstance(item, int)]
    if numbers:
        return [tokens.decode(numbers)]
    return [item if isinstance(item, str) else tokens.decode(item) for item in given if not isinstance(item, int)]


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


async def _as_bytes(
    exchange: Exchange, vectors: list[list[float]], metadata: dict[str, object], *, named: bool
) -> None:
    """All vectors in one body; a header says where each one lies."""
    size = len(vectors[0]) * 4
    rows = [
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
    headers = [(b"content-type", b"application/octet-stream")]
    if named:
        headers.append((b"metadata", orjson.dumps({**metadata, "data": rows})))
    await exchange.answer(b"".join(map(_packed, vectors)), headers)
