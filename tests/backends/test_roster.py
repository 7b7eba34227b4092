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


def test_weights_stand_in_the_order_of_the_replicas_and_are_equal_by_default() -> None:
    assert [backend.weight for backend in build_roster(settings()).groups[0].backends] == [1, 1]
    weighed = build_roster(settings(chat_weights="3,1"))
    assert [backend.weight for backend in weighed.groups[0].backends] == [3, 1]


@pytest.mark.parametrize("weights", ["3", "3,1,1"])
def test_there_is_a_weight_for_each_replica_or_none(weights: str) -> None:
    with pytest.raises(ValueError, match=r"CHAT_WEIGHTS has . shares for 2 CHAT_BACKENDS"):
        build_roster(settings(chat_weights=weights))


@pytest.mark.parametrize(
    ("group", "fallback"), [("chat", "text2sql"), ("text2sql", "chat"), ("rerank", "embed"), ("embed", "rerank")]
)
def test_a_group_that_has_paths_in_common_may_answer_in_anothers_stead(group: str, fallback: str) -> None:
    roster = build_roster(settings(**WHOLE_FLEET, **{f"{group}_fallback": fallback}))
    assert {one.name: one.fallback for one in roster.groups if one.fallback} == {group: fallback}


@pytest.mark.parametrize(
    ("fallback", "fleet", "sentence"),
    [
        ("chat", WHOLE_FLEET, "CHAT_FALLBACK is chat itself"),
        ("gpt-4", WHOLE_FLEET, "CHAT_FALLBACK is gpt-4, which is no group with a backend: name text2sql, or none"),
        ("text2sql", {}, "CHAT_FALLBACK is text2sql, which is no group with a backend: leave it empty"),
        ("embed", WHOLE_FLEET, "whose model cannot do what chat does: name text2sql, or none"),
    ],
)
def test_a_fallback_that_could_never_answer_is_refused_with_what_could(
    fallback: str, fleet: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        build_roster(settings(**fleet, chat_fallback=fallback))
