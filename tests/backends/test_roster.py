"""The roster: the configured fleet as groups."""

import pytest

from gateway.backends.roster import build_roster
from gateway.backends.settings import BackendSettings
from gateway.core.endpoint import ModelKind


def settings(**fields: object) -> BackendSettings:
    required = {"backend_api_key": "sk-backends-4f2a", "chat_backends": "http://chat0:8000,http://chat1:8000"}
    return BackendSettings.model_validate({**required, **fields})


WHOLE_FLEET = {
    "text2sql_backend": "http://text2sql:8000",
    "embed_backend": "http://embed:8000",
    "rerank_backend": "http://rerank:8000",
}


def test_a_whole_fleet_has_four_groups_with_the_chat_group_first() -> None:
    roster = build_roster(settings(**WHOLE_FLEET))
    assert [group.kind for group in roster.groups] == [
        ModelKind.CHAT,
        ModelKind.TEXT2SQL,
        ModelKind.EMBEDDING,
        ModelKind.RERANK,
    ]
    names = [backend.name for _, backend in roster.backends()]
    assert names == ["chat0", "chat1", "text2sql", "embed", "rerank"]


def test_the_names_of_the_design_are_known_by_default() -> None:
    roster = build_roster(settings(**WHOLE_FLEET))
    names = {name for group in roster.groups for name in group.model_names}
    assert names >= {
        "qwen",
        "Qwen/Qwen2.5-7B-Instruct",
        "text2sql",
        "snowflake-arctic-embed",
        "bge-reranker-v2-m3",
    }
    assert {group.name: group.model for group in roster.groups} == {
        "chat": "qwen",
        "text2sql": "Snowflake/Arctic-Text2SQL-R1-7B",
        "embed": "Snowflake/snowflake-arctic-embed-l-v2.0",
        "rerank": "BAAI/bge-reranker-v2-m3",
    }


def test_a_group_without_a_url_does_not_exist() -> None:
    roster = build_roster(settings())
    assert [group.name for group in roster.groups] == ["chat"]
    assert roster.of_kind(ModelKind.RERANK) == ()


def test_a_name_claimed_by_two_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="qwen is claimed by two groups, chat and embed"):
        build_roster(settings(embed_backend="http://embed:8000", embed_aliases="qwen"))


def test_a_server_in_two_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="http://chat1:8000 is claimed by two groups"):
        build_roster(settings(embed_backend="http://chat1:8000/"))
