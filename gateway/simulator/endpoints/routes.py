"""Which paths are there? The table: what is asked for, by which method, and who answers, per kind of server."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway.simulator.argv import Kind
from gateway.simulator.endpoints import plain
from gateway.simulator.endpoints.chat import chat
from gateway.simulator.endpoints.embeddings import embeddings
from gateway.simulator.endpoints.ranking import rerank, score
from gateway.simulator.exchange import Exchange
from gateway.simulator.service import Service

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
    """

    get: Get | None = None
    post: Post | None = None
    anthropic: bool = False
    counted: bool = False

    @property
    def allow(self) -> bytes:
        """The `allow` header of a 405."""
        return b", ".join(name for name, handler in ((b"GET", self.get), (b"POST", self.post)) if handler)


_EVERYWHERE: Mapping[str, Route] = {
    "/health": Route(get=plain.health),
    "/version": Route(get=plain.version),
    "/load": Route(get=plain.load),
    "/metrics": Route(get=plain.prometheus),
    "/kv_event_sources": Route(get=plain.kv_event_sources),
    "/v1/models": Route(get=plain.models),
}

_GENERATING: Mapping[str, Route] = {
    "/v1/chat/completions": Route(post=chat, counted=True),
}

_RANKING: Mapping[str, Route] = {
    "/rerank": Route(post=rerank, counted=True),
    "/v1/rerank": Route(post=rerank, counted=True),
    "/v2/rerank": Route(post=rerank, counted=True),
    "/score": Route(post=score, counted=True),
    "/v1/score": Route(post=score, counted=True),
}

_EMBEDDING: Mapping[str, Route] = {
    "/v1/embeddings": Route(post=embeddings, counted=True),
}


def routes(kind: Kind) -> Mapping[str, Route]:
    """The paths of one kind of server. An embedding model ranks, too, by cosine similarity."""
    if kind == "embed":
        return {**_EVERYWHERE, **_EMBEDDING, **_RANKING}
    if kind == "rerank":
        return {**_EVERYWHERE, **_RANKING}
    return {**_EVERYWHERE, **_GENERATING}
