"""A model's name leads to its group, or to an answer that names the way."""

import pytest

from gateway.core.endpoint import Endpoint, ModelKind
from gateway.core.errors import ModelNotAllowedError, ModelNotFoundError, WrongModelKindError
from gateway.core.fleet import Backend, BackendGroup
from gateway.routing.registry import Registry, Route

CHAT = BackendGroup(
    "chat", ModelKind.CHAT, "qwen", ("Qwen/Qwen2.5-7B-Instruct",), (Backend("chat0", "http://c0:8000"),)
)
SQL = BackendGroup(
    "text2sql", ModelKind.TEXT2SQL, "Snowflake/SQL", ("text2sql",), (Backend("text2sql", "http://s:8000"),)
)
EMBED = BackendGroup("embed", ModelKind.EMBEDDING, "Snow/embed", ("arctic",), (Backend("embed", "http://e:8000"),))
REGISTRY = Registry([CHAT, SQL, EMBED])
POST = frozenset({"POST"})
CHAT_PATH = Endpoint("/v1/chat/completions", POST, kinds=(ModelKind.CHAT, ModelKind.TEXT2SQL))
SQL_PATH = Endpoint("/v1/text2sql", POST, kinds=(ModelKind.TEXT2SQL,), pinned=True)
RERANK_PATH = Endpoint("/v1/rerank", POST, kinds=(ModelKind.RERANK, ModelKind.EMBEDDING))


@pytest.mark.parametrize("name", ["qwen", "Qwen/Qwen2.5-7B-Instruct"])
def test_every_name_and_alias_leads_to_the_group(name: str) -> None:
    route = REGISTRY.resolve(CHAT_PATH, name)
    assert route.group is CHAT
    assert route.renamed is (name != "qwen")


def test_the_backends_own_name_is_a_name_too() -> None:
    assert REGISTRY.resolve(CHAT_PATH, "Snowflake/SQL").renamed is False


def test_a_missing_model_means_the_default_of_the_path() -> None:
    assert REGISTRY.resolve(CHAT_PATH, None).group is CHAT
    assert REGISTRY.resolve(SQL_PATH, None) == Route(SQL, "text2sql")
    assert REGISTRY.resolve(RERANK_PATH, None).group is EMBED


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelNotFoundError, match=r"`nope` does not exist.*`arctic`.*`qwen`") as refusal:
        REGISTRY.resolve(CHAT_PATH, "nope")
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (404, "model_not_found", "model")


def test_a_long_made_up_name_is_not_repeated_whole() -> None:
    with pytest.raises(ModelNotFoundError) as refusal:
        REGISTRY.resolve(CHAT_PATH, "x" * 100_000)
    assert len(refusal.value.message) < 500


def test_a_model_of_another_kind_is_a_400_that_names_those_that_serve() -> None:
    with pytest.raises(WrongModelKindError, match=r"does not serve /v1/text2sql.*`text2sql`") as refusal:
        REGISTRY.resolve(SQL_PATH, "qwen")
    assert refusal.value.status == 400
    assert "`arctic`" not in refusal.value.message


def test_a_path_without_any_configured_model_is_404() -> None:
    with pytest.raises(ModelNotFoundError, match="No model for /v1/rerank"):
        Registry([CHAT]).resolve(RERANK_PATH, None)


def test_a_name_cannot_belong_to_two_groups() -> None:
    with pytest.raises(ValueError, match="belongs to two groups"):
        Registry([CHAT, BackendGroup("other", ModelKind.CHAT, "m", ("qwen",), CHAT.backends)])


def test_a_key_that_allows_one_name_of_a_group_allows_them_all() -> None:
    for allowed in ("qwen", "Qwen/Qwen2.5-7B-Instruct"):
        for asked in ("qwen", "Qwen/Qwen2.5-7B-Instruct", None):
            assert REGISTRY.resolve(CHAT_PATH, asked, frozenset({allowed, "unheard-of"})).group is CHAT


@pytest.mark.parametrize("asked", ["qwen", "Qwen/Qwen2.5-7B-Instruct", None])
@pytest.mark.parametrize("registry", [REGISTRY, Registry([CHAT, SQL, EMBED])], ids=["asked before", "new"])
def test_a_model_that_the_key_does_not_allow_is_403_and_names_those_it_does(
    asked: str | None, registry: Registry
) -> None:
    with pytest.raises(
        ModelNotAllowedError, match=r"may not use the model `[Qq]wen.*It may use: `Snow/embed`, `arctic`"
    ) as refusal:
        registry.resolve(CHAT_PATH, asked, frozenset({"arctic"}))
    error = refusal.value
    assert (error.status, error.type, error.code, error.param) == (
        403,
        "permission_error",
        "model_not_allowed",
        "model",
    )
    assert error.should_retry is False


def test_a_key_that_allows_nothing_may_use_nothing() -> None:
    with pytest.raises(ModelNotAllowedError, match="It may use: none"):
        REGISTRY.resolve(CHAT_PATH, "qwen", frozenset())


def test_what_a_key_does_not_allow_is_named_in_no_refusal() -> None:
    allowed = frozenset({"arctic"})
    with pytest.raises(ModelNotFoundError) as unknown:
        REGISTRY.resolve(CHAT_PATH, "nope", allowed)
    with pytest.raises(WrongModelKindError) as misplaced:
        REGISTRY.resolve(CHAT_PATH, "arctic", allowed)
    for refusal in (unknown, misplaced):
        assert "qwen" not in refusal.value.message
        assert "text2sql" not in refusal.value.message


def test_what_a_key_may_not_use_is_forbidden_before_it_is_misplaced() -> None:
    with pytest.raises(ModelNotAllowedError):
        REGISTRY.resolve(SQL_PATH, "qwen", frozenset({"text2sql"}))


def test_a_model_of_names_of_its_own_is_not_asked_for_by_its_name_at_the_backends() -> None:
    own = BackendGroup("wild", ModelKind.CHAT, "qwen", (), CHAT.backends, names=("wild",))
    registry = Registry([CHAT, own])
    assert registry.resolve(CHAT_PATH, "qwen").group is CHAT
    assert registry.resolve(CHAT_PATH, "wild") == Route(own, "wild", renamed=True)
