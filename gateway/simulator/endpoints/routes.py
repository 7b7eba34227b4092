"""Which paths are there? The table: what is asked for, by which method, and who answers, per kind of server."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from gateway.simulator.argv import Kind
from gateway.simulator.endpoints import plain
from gateway.simulator.endpoints.chat import chat
from gateway.simulator.endpoints.completions import completions
from gateway.simulator.endpoints.documents import docs, openapi
from gateway.simulator.endpoints.embeddings import embeddings
from gateway.simulator.endpoints.invocations import invocations
from gateway.simulator.endpoints.messages import count_tokens, messages
from gateway.simulator.endpoints.ranking import rerank, score
from gateway.simulator.endpoints.raw_pooling import classify, pooling
from gateway.simulator.endpoints.responses import responses, retrieve
from gateway.simulator.endpoints.tokenizing import detokenize, tokenize
from gateway.simulator.exchange import Exchange
from gateway.simulator.service import Service

RESPONSES = "/v1/responses"

Get = Callable[[Service, Exchange], Awaitable[None]]
Post = Callable[[Service, Exchange, object], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """What one path answers.

    Args:
        get: for GET; the body is not read.
        post: for POST with a JSON body.
        anthropic: errors that the handler raises take Anthropic's form.
        counted: shows in /load.
        takes_json: a POST's body is read as JSON.
    """

    get: Get | None = None
    post: Post | None = None
    anthropic: bool = False
    counted: bool = False
    takes_json: bool = True

    @property
    def methods(self) -> list[str]:
        """The methods it takes, in lower case."""
        return [name for name, handler in (("get", self.get), ("post", self.post)) if handler]

    @property
    def allow(self) -> bytes:
        """The `allow` header of a 405: where both are taken, only the one that was declared first."""
        return b"GET" if self.get else b"POST"


_EVERYWHERE: Mapping[str, Route] = {
    "/health": Route(get=plain.health),
    "/ping": Route(get=plain.ping, post=plain.ping, takes_json=False),
    "/version": Route(get=plain.version),
    "/load": Route(get=plain.load),
    "/metrics": Route(get=plain.prometheus),
    "/kv_event_sources": Route(get=plain.kv_event_sources),
    "/v1/models": Route(get=plain.models),
    "/tokenize": Route(post=tokenize),
    "/detokenize": Route(post=detokenize),
}

_GENERATING: Mapping[str, Route] = {
    "/v1/chat/completions": Route(post=chat, counted=True),
    "/v1/completions": Route(post=completions, counted=True),
    RESPONSES: Route(post=responses, counted=True),
    f"{RESPONSES}/": Route(get=retrieve),
    "/v1/messages": Route(post=messages, anthropic=True, counted=True),
    "/v1/messages/count_tokens": Route(post=count_tokens, anthropic=True, counted=True),
    "/invocations": Route(post=invocations),
}

_RANKING: Mapping[str, Route] = {
    "/rerank": Route(post=rerank, counted=True),
    "/v1/rerank": Route(post=rerank, counted=True),
    "/v2/rerank": Route(post=rerank, counted=True),
    "/score": Route(post=score, counted=True),
    "/v1/score": Route(post=score, counted=True),
    "/pooling": Route(post=pooling, counted=True),
}

_EMBEDDING: Mapping[str, Route] = {
    "/v1/embeddings": Route(post=embeddings, counted=True),
    "/invocations": Route(post=embeddings),
}


def find(table: Mapping[str, Route], path: str) -> Route | None:
    """The row for a path. The table holds one path with a variable end: /v1/responses/{id}."""
    parent, _, last = path.rpartition("/")
    if parent == RESPONSES and last:
        return table.get(f"{RESPONSES}/")
    return None if path.endswith("/") else table.get(path)


def routes(kind: Kind) -> Mapping[str, Route]:
    """The paths of one kind of server. An embedding model ranks, too, by cosine similarity."""
    if kind == "embed":
        table = {**_EVERYWHERE, **_EMBEDDING, **_RANKING}
    elif kind == "rerank":
        table = {**_EVERYWHERE, **_RANKING, "/classify": Route(post=classify, counted=True)}
    else:
        table = {**_EVERYWHERE, **_GENERATING}
    described = {path: row.methods for path, row in table.items()}
    return {**table, "/openapi.json": Route(get=partial(openapi, described)), "/docs": Route(get=docs)}
