"""The allow-list: what is on it, and every way of writing a path that is not."""

from urllib.parse import unquote

import pytest

from gateway.api.endpoints import ADMIN, ENDPOINTS, find
from gateway.core.endpoint import Access, Dialect, Endpoint, ModelKind

RELAYED = {
    "/v1/chat/completions": b"/v1/chat/completions",
    "/v1/completions": b"/v1/completions",
    "/v1/responses": b"/v1/responses",
    "/v1/messages": b"/v1/messages",
    "/v1/messages/count_tokens": b"/v1/messages/count_tokens",
    "/v1/embeddings": b"/v1/embeddings",
    "/v1/rerank": b"/rerank",
    "/v2/rerank": b"/rerank",
    "/v1/score": b"/score",
    "/v1/tokenize": b"/tokenize",
    "/v1/text2sql": b"/v1/chat/completions",
}
OPEN = {
    "/health",
    "/ready",
    "/docs",
    "/docs/swagger-ui.css",
    "/docs/swagger-ui-bundle.js",
    "/docs/favicon-32x32.png",
    "/docs/start.js",
    "/openapi.json",
}


def at(target: str) -> Endpoint | None:
    """What `find` says to a request target, decoded as the server decodes it."""
    return find(unquote(target), target.encode())


def test_the_relayed_paths_go_where_vllm_answers_them() -> None:
    assert {row.path: row.upstream_path for row in ENDPOINTS if row.relayed} == RELAYED


def test_relayed_paths_take_post_and_a_key() -> None:
    relayed = [row for row in ENDPOINTS if row.relayed]
    assert {row.methods for row in relayed} == {frozenset({"POST"})}
    assert {row.access for row in relayed} == {Access.KEY}
    assert all(row.kinds for row in relayed)


def test_only_probes_and_documentation_are_open() -> None:
    assert {row.path for row in ENDPOINTS if row.access is Access.OPEN} == OPEN


def test_own_paths_are_read_only_but_for_the_administrators() -> None:
    assert {row.methods for row in ENDPOINTS if not row.relayed and row is not ADMIN} == {frozenset({"GET", "HEAD"})}


@pytest.mark.parametrize("row", ENDPOINTS, ids=lambda row: row.path)
def test_every_row_is_found_by_its_path(row: Endpoint) -> None:
    assert at(row.path.replace("{id}", "qwen").replace("{path}", "v1/keys")) is row


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("/v1/chat/completions", ModelKind.CHAT),
        ("/v1/text2sql", ModelKind.TEXT2SQL),
        ("/v1/embeddings", ModelKind.EMBEDDING),
        ("/v1/rerank", ModelKind.RERANK),
        ("/v1/score", ModelKind.RERANK),
        ("/v1/tokenize", ModelKind.CHAT),
    ],
)
def test_a_missing_model_means_the_paths_own_kind(path: str, default: ModelKind) -> None:
    row = at(path)
    assert row is not None
    assert row.kinds[0] is default


def test_an_embedding_model_may_rerank_but_a_reranker_may_not_embed() -> None:
    rerank, embeddings = at("/v1/rerank"), at("/v1/embeddings")
    assert rerank is not None
    assert embeddings is not None
    assert ModelKind.EMBEDDING in rerank.kinds
    assert embeddings.kinds == (ModelKind.EMBEDDING,)


def test_only_text2sql_is_pinned() -> None:
    assert [row.path for row in ENDPOINTS if row.pinned] == ["/v1/text2sql"]


def test_counting_tokens_alone_uses_no_engine() -> None:
    idle = {row.path for row in ENDPOINTS if row.relayed and not row.uses_engine}
    assert idle == {"/v1/tokenize", "/v1/messages/count_tokens"}


def test_each_dialect_has_its_paths() -> None:
    anthropic = {row.path for row in ENDPOINTS if row.dialect is Dialect.ANTHROPIC}
    assert anthropic == {"/v1/messages", "/v1/messages/count_tokens"}
    assert {row.path for row in ENDPOINTS if row.dialect is Dialect.RESPONSES} == {"/v1/responses"}


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "*",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/v1/chat%2Fcompletions",
        "/v1/chat%2fcompletions",
        "/%761/chat/completions",
        "/v1/./chat/completions",
        "/v1/%2e/chat/completions",
        "/v1/x/../chat/completions",
        "/v1/x/%2e%2e/chat/completions",
        "/V1/chat/completions",
        "/v1/chat/completions;x=1",
        "/v1/chat/completions%00",
        "/v1/chat/completions%20",
        "/v1/chat/completions?model=qwen",
        "http://gateway/v1/chat/completions",
        "/chat/completions",
        "/rerank",
        "/score",
        "/tokenize",
        "/invocations",
        "/pooling",
        "/metrics",
        "/pause",
        "/sleep",
        "/collective_rpc",
        "/server_info",
        "/version",
        "/v1/load_lora_adapter",
        "/v1/responses/resp_1",
        "/v1/responses/resp_1/cancel",
        "/v1/chat/completions/render",
        "/docs/",
        "/docs/../health",
        "/docs/oauth2-redirect.html",
        "/redoc",
        "/health/",
        "/admin",
    ],
)
def test_anything_else_is_on_no_list(target: str) -> None:
    assert at(target) is None


@pytest.mark.parametrize(
    "target",
    [
        "/v1/models/qwen",
        "/v1/models/Qwen/Qwen2.5-7B-Instruct",
        "/v1/models/Qwen%2FQwen2.5-7B-Instruct",
        "/v1/models/Qwen%2fQwen2.5-7B-Instruct",
        "/v1/models/bge-reranker-v2-m3",
    ],
)
def test_a_model_is_found_with_its_slash_written_either_way(target: str) -> None:
    row = at(target)
    assert row is not None
    assert row.path == "/v1/models/{id}"


@pytest.mark.parametrize(
    "target",
    [
        "/v1/models/",
        "/v1//models/qwen",
        "/v1/models//qwen",
        "/v1/models/qwen/",
        "/v1/models/../chat/completions",
        "/v1/models/%2e%2e/x",
        "/v1/models/..%2fx",
        "/v1/models/a%252fb",
        "/v1/models/a%00b",
        "/v1%2Fmodels%2Fqwen",
        "/v1/models/qw%65n",
        "/v1/models/.hidden",
    ],
)
def test_a_model_path_has_no_other_spelling(target: str) -> None:
    assert at(target) is None


def test_the_allow_field_lists_the_methods_of_a_path() -> None:
    health = at("/health")
    assert health is not None
    assert health.allow() == (b"allow", b"GET, HEAD")


@pytest.mark.parametrize(
    "path",
    ["/admin/v1/keys", "/admin/quota/ip:2001:db8::%2F64", "/admin/v1/organizations/org%3Aa%20b", "/admin/openapi.json"],
)
def test_names_in_the_administrators_paths_may_hold_anything_escaped(path: str) -> None:
    assert find("/" + path, path.encode()) is ADMIN


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/", "/admin//v1", "/admin/../v1/models", "/admin/v1/.", "/admin/v1/a b", "/admin/%zz"]
)
def test_crooked_paths_are_no_administrators(path: str) -> None:
    assert find(path, path.encode()) is None
