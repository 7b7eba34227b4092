"""POST /pooling and /classify: what does a pooling model give by itself? Paths that no key guards."""

from collections.abc import Callable

from gateway.simulator.bodies.parsing import validate
from gateway.simulator.bodies.reading import EmbeddingBody
from gateway.simulator.content.vectors import embedding, logit, sigmoid
from gateway.simulator.endpoints.embeddings import inputs_of
from gateway.simulator.endpoints.pooling import finished, fitted, pooling_usage
from gateway.simulator.exchange import Exchange
from gateway.simulator.pace import wall_seconds
from gateway.simulator.service import Service

Row = Callable[[int, str], dict[str, object]]


async def pooling(service: Service, exchange: Exchange, data: object) -> None:
    """Answer with a vector per input, or with a reranker's one number."""

    def row(index: int, text: str) -> dict[str, object]:
        ranks = service.options.kind == "rerank"
        values = [_score(text)] if ranks else embedding(text, service.options.dimensions)
        return {"index": index, "object": "pooling", "data": values}

    await _pool(service, exchange, data, "pooling", row)


async def classify(service: Service, exchange: Exchange, data: object) -> None:
    """Answer with the one class that a reranker knows."""

    def row(index: int, text: str) -> dict[str, object]:
        return {"index": index, "label": "LABEL_0", "probs": [_score(text)], "num_classes": 1}

    await _pool(service, exchange, data, "classify", row)


async def _pool(service: Service, exchange: Exchange, data: object, name: str, row: Row) -> None:
    body = validate(EmbeddingBody, data)
    service.check_model(exchange, body)
    inputs = [fitted(service, item, body.truncate_prompt_tokens) for item in inputs_of(body)]
    service.engine.check_admission(len(inputs))
    answer_id = exchange.new_id(name)
    job = service.start_pooling(exchange, [count for _, count in inputs], body.priority)
    await finished(service, exchange, job)
    answer = {
        "id": answer_id,
        "object": "list",
        "created": wall_seconds(),
        "model": service.model,
        "data": [row(index, text) for index, (text, _) in enumerate(inputs)],
        "usage": pooling_usage(job.prompt_tokens),
    }
    await exchange.json(answer)


def _score(text: str) -> float:
    return sigmoid(logit(text, text))
