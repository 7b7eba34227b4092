"""POST /rerank and /score: how well does a document fit a query?"""

from gateway.simulator.bodies.parsing import validate
from gateway.simulator.bodies.reading import RerankBody, ScoreBody
from gateway.simulator.content import vectors
from gateway.simulator.endpoints.pooling import SPECIAL_TOKENS, finished, fitted, pooling_usage
from gateway.simulator.errors import bad_request
from gateway.simulator.exchange import Exchange
from gateway.simulator.pace import wall_seconds
from gateway.simulator.service import Service

Pair = tuple[str, str]


async def rerank(service: Service, exchange: Exchange, data: object) -> None:
    """Answer with the documents, the best first. `top_n` 0, or more than there are, gives all."""
    body = validate(RerankBody, data)
    service.check_model(exchange, body)
    documents = [body.documents] if isinstance(body.documents, str) else body.documents
    if not documents:
        raise bad_request("At least one text_pair element must be given")
    pairs = [(body.query, document) for document in documents]
    answer_id = exchange.new_id("score")
    used, scores = await _scored(service, exchange, pairs, body)
    order = sorted(range(len(documents)), key=lambda index: -scores[index])[: body.top_n or None]
    answer = {
        "id": answer_id,
        "model": service.model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
        "results": [_result(index, documents[index], scores[index]) for index in order],
    }
    await exchange.json(answer)


def _result(index: int, document: str, relevance: float) -> dict[str, object]:
    return {"index": index, "document": {"text": document, "multi_modal": None}, "relevance_score": relevance}


async def score(service: Service, exchange: Exchange, data: object) -> None:
    """Answer with one score per pair: one text against many, or two lists of the same length."""
    body = validate(ScoreBody, data)
    service.check_model(exchange, body)
    pairs = _paired(body)
    answer_id = exchange.new_id("score")
    used, scores = await _scored(service, exchange, pairs, body)
    answer = {
        "id": answer_id,
        "object": "list",
        "created": wall_seconds(),
        "model": service.model,
        "data": [{"index": index, "object": "score", "score": value} for index, value in enumerate(scores)],
        "usage": pooling_usage(used),
    }
    await exchange.json(answer)


def _paired(body: ScoreBody) -> list[Pair]:
    first = [body.first] if isinstance(body.first, str) else body.first
    second = [body.second] if isinstance(body.second, str) else body.second
    if not first:
        raise bad_request("At least one text element must be given")
    if not second:
        raise bad_request("At least one text_pair element must be given")
    if len(first) == 1:
        return [(first[0], text) for text in second]
    if len(first) != len(second):
        raise bad_request("Input lengths must be either 1:1, 1:N or N:N")
    return list(zip(first, second, strict=True))


async def _scored(
    service: Service, exchange: Exchange, pairs: list[Pair], body: RerankBody | ScoreBody
) -> tuple[int, list[float]]:
    """The tokens that were read, and each pair's score. Four marks stand around and between the two texts."""
    lengths = [
        fitted(service, f"{first}{second}", body.truncate_prompt_tokens, marks=2 * SPECIAL_TOKENS)[1]
        for first, second in pairs
    ]
    service.engine.check_admission(len(pairs))
    job = service.start_pooling(exchange, lengths, body.priority)
    await finished(service, exchange, job)
    if service.options.kind == "embed":
        size = service.options.dimensions
        return job.prompt_tokens, [
            vectors.cosine(vectors.embedding(first, size), vectors.embedding(second, size)) for first, second in pairs
        ]
    logits = [vectors.logit(*pair) for pair in pairs]
    return job.prompt_tokens, logits if body.use_activation is False else [vectors.sigmoid(value) for value in logits]
