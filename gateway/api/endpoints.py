"""Which paths exist? The allow-list, one row per path; whatever is not here is a 404 that reaches no backend."""

import re

from gateway.core.endpoint import ALWAYS_SHARED, SHARED_IF_EXACT, Access, Dialect, Endpoint, ModelKind

_POST = frozenset({"POST"})
_GET = frozenset({"GET", "HEAD"})

_TEXT = (ModelKind.CHAT, ModelKind.TEXT2SQL)
_RANKING = (ModelKind.RERANK, ModelKind.EMBEDDING)
"""An embedding model ranks and scores too, by cosine similarity (seen on vLLM 0.32.0); the reranker is the default."""

MODEL = Endpoint("/v1/models/{id}", _GET)
ADMIN = Endpoint(
    "/admin/{path}",
    frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}),
    access=Access.ADMIN,
    control=True,
)
"""The two rows that stand for many paths; see `find`."""

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "/v1/chat/completions",
        _POST,
        upstream_path=b"/v1/chat/completions",
        kinds=_TEXT,
        streams=True,
        shared_at=SHARED_IF_EXACT,
    ),
    Endpoint("/v1/completions", _POST, upstream_path=b"/v1/completions", kinds=_TEXT, streams=True),
    Endpoint(
        "/v1/responses",
        _POST,
        upstream_path=b"/v1/responses",
        dialect=Dialect.RESPONSES,
        kinds=_TEXT,
        streams=True,
    ),
    Endpoint(
        "/v1/messages",
        _POST,
        upstream_path=b"/v1/messages",
        dialect=Dialect.ANTHROPIC,
        kinds=_TEXT,
        streams=True,
    ),
    Endpoint(
        "/v1/messages/count_tokens",
        _POST,
        upstream_path=b"/v1/messages/count_tokens",
        dialect=Dialect.ANTHROPIC,
        kinds=_TEXT,
        uses_engine=False,
    ),
    Endpoint(
        "/v1/embeddings", _POST, upstream_path=b"/v1/embeddings", kinds=(ModelKind.EMBEDDING,), shared_at=ALWAYS_SHARED
    ),
    Endpoint("/v1/rerank", _POST, upstream_path=b"/rerank", kinds=_RANKING, shared_at=ALWAYS_SHARED),
    Endpoint("/v2/rerank", _POST, upstream_path=b"/rerank", kinds=_RANKING, shared_at=ALWAYS_SHARED),
    Endpoint("/v1/score", _POST, upstream_path=b"/score", kinds=_RANKING, shared_at=ALWAYS_SHARED),
    Endpoint(
        "/v1/tokenize",
        _POST,
        upstream_path=b"/tokenize",
        kinds=tuple(ModelKind),
        uses_engine=False,
        shared_at=ALWAYS_SHARED,
    ),
    Endpoint(
        "/v1/text2sql",
        _POST,
        upstream_path=b"/v1/chat/completions",
        kinds=(ModelKind.TEXT2SQL,),
        pinned=True,
        streams=True,
        shared_at=SHARED_IF_EXACT,
    ),
    Endpoint("/v1/models", _GET),
    MODEL,
    Endpoint("/v1/usage", _GET, control=True),
    ADMIN,
    Endpoint("/health", _GET, access=Access.OPEN),
    Endpoint("/health/detailed", _GET),
    Endpoint("/ready", _GET, access=Access.OPEN),
    Endpoint("/docs", _GET, access=Access.OPEN),
    Endpoint("/docs/swagger-ui.css", _GET, access=Access.OPEN),
    Endpoint("/docs/swagger-ui-bundle.js", _GET, access=Access.OPEN),
    Endpoint("/docs/favicon-32x32.png", _GET, access=Access.OPEN),
    Endpoint("/docs/start.js", _GET, access=Access.OPEN),
    Endpoint("/openapi.json", _GET, access=Access.OPEN),
)

_EXACT = {row.path.encode("ascii"): row for row in ENDPOINTS if "{" not in row.path}
_MODEL_PATH = re.compile(rb"/v1/models(?:(?:/|%2[Ff])[A-Za-z0-9][A-Za-z0-9._~:@+=,-]*)+")
_MODEL_PREFIX = "/v1/models/"
_ADMIN_PATH = re.compile(rb"/admin(?:/(?!\.{1,2}(?:/|$))(?:[A-Za-z0-9._~:@+=,-]|%[0-9A-Fa-f]{2})+)+")


def find(path: str, raw_path: bytes) -> Endpoint | None:
    """The row of one request target, None when there is none.

    The bytes of the wire decide, so that a doubled slash, a dot segment or an escape never means one path here and
    another at a backend. Two exceptions reach no backend: a model id holds slashes, which curl users write plainly
    and the OpenAI SDKs as `%2F`; and the admin API's paths hold names with anything in them, escaped.

    Args:
        path: the decoded path (`scope["path"]`).
        raw_path: the same as it came, without the query (`scope["raw_path"]`).
    """
    row = _EXACT.get(raw_path)
    if row is None and path.startswith(_MODEL_PREFIX) and _MODEL_PATH.fullmatch(raw_path):
        return MODEL
    if row is None and _ADMIN_PATH.fullmatch(raw_path):
        return ADMIN
    return row
