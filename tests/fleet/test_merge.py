"""The settings' fleet and what the admin API has made: who comes first, what is left out, where backends stand."""

from typing import Any

import pytest

from gateway.backends.board_layout import BACKENDS
from gateway.backends.roster import Roster
from gateway.backends.settings import BackendSettings
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import BackendGroup
from gateway.database.rows import Backend, Model
from gateway.fleet.edition import Rows, compose, read_edition
from gateway.fleet.merge import Merged, merge, objections, source_of, static_roster

REST = 60.0


def settings(**fields: Any) -> BackendSettings:
    required = {"backend_api_key": "sk-backends-4f2a", "chat_backends": "http://chat0:8000,http://chat1:8000"}
    return BackendSettings.model_validate({**required, "text2sql_backend": "http://sql:8000", **fields})


STATIC = static_roster(settings())
CODER = Model(alias="coder", kind="chat", model="Qwen/Qwen3-Coder", settings={"aliases": ["code"]})
CODER0 = Backend(name="coder0", model="coder", url="http://coder0:8000", weight=3)


def merged(*rows: Model | Backend, drained: tuple[str, ...] = (), static: Roster = STATIC) -> Merged:
    blob = compose(static, sorted_rows(*rows, drained=drained), now=1.0, rest_secs=REST)
    return merge(static, read_edition(blob))


def sorted_rows(*rows: Model | Backend, drained: tuple[str, ...] = ()) -> Rows:
    return Rows(
        [row for row in rows if isinstance(row, Model)], [row for row in rows if isinstance(row, Backend)], drained
    )


def group(roster: Roster, name: str) -> BackendGroup:
    return next(one for one in roster.groups if one.name == name)


def test_a_model_with_a_backend_is_served_under_its_names_and_not_under_its_backends() -> None:
    coder = group(merged(CODER, CODER0).roster, "coder")
    assert coder.model_names == ("coder", "code")
    assert (coder.model, coder.kind, coder.tool_parser) == ("Qwen/Qwen3-Coder", ModelKind.CHAT, "qwen3_coder")
    assert [(one.name, one.weight, one.column) for one in coder.backends] == [("coder0", 3, BACKENDS - 1)]
    assert coder.shape is None


def test_a_model_without_a_backend_is_not_there_and_no_mistake() -> None:
    assert merged(CODER) == Merged(merged(CODER).roster, ())
    assert [one.name for one in merged(CODER).roster.groups] == ["chat", "text2sql"]


def test_two_models_may_be_one_at_their_backends() -> None:
    rows = [
        Model(alias=alias, kind="chat", model="same", settings={"default_parameters": {"temperature": heat}})
        for alias, heat in (("strict", 0), ("wild", 1))
    ]
    found = merged(
        *rows,
        Backend(name="a", model="strict", url="http://a:1"),
        Backend(name="b", model="wild", url="http://b:1"),
    )
    assert not found.objections
    assert all(group(found.roster, name).shape is not None for name in ("strict", "wild"))


def test_a_group_of_the_settings_gets_further_backends_by_any_of_its_names() -> None:
    found = merged(Backend(name="chat7", model="Qwen/Qwen2.5-7B-Instruct", url="http://chat7:8000"))
    assert [one.name for one in group(found.roster, "chat").backends] == ["chat0", "chat1", "chat7"]


def test_a_drained_backend_stays_and_is_not_in_use() -> None:
    chat = group(merged(CODER, CODER0, drained=("chat0", "coder0")).roster, "chat")
    assert [one.name for one in chat.backends] == ["chat0", "chat1"]
    assert [one.name for one in chat.in_use] == ["chat1"]
    assert group(merged(CODER, CODER0, drained=("coder0",)).roster, "coder").in_use == ()


def test_an_inactive_backend_is_not_there() -> None:
    assert len(merged(CODER, Backend(name="x", model="coder", url="http://x:1", active=False)).roster.groups) == 2


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([Model(alias="qwen", kind="chat", model="x")], "qwen is a name of chat"),
        (
            [Model(alias="x", kind="chat", model="x", settings={"aliases": ["text2sql"]})],
            "text2sql is a name of text2sql",
        ),
        ([CODER, Model(alias="z", kind="chat", model="z", settings={"aliases": ["code"]})], "code is a name of coder"),
        ([Backend(name="chat0", model="chat", url="http://new:1")], "chat0 is another backend's"),
        ([Backend(name="new", model="chat", url="http://chat0:8000/")], "http://chat0:8000 is another backend's"),
        ([Backend(name="new", model="chat", url="HTTP://CHAT0.:08000")], "http://chat0:8000 is another backend's"),
        (
            [CODER, *[Backend(name=name, model="coder", url=f"http://{name}:80") for name in ("127.1", "0x7f.1")]],
            "http://127.0.0.1 is another backend's",
        ),
        ([Backend(name="new", model="nobody", url="http://new:1")], "there is no model nobody"),
        ([Backend(name="new", model="chat", url="http://169.254.169.254")], "metadata"),
        ([Backend(name="new", model="chat", url="http://new:1/v1")], "ends with /v1"),
        ([Backend(name="new", model="chat", url="http://new:1", weight=101)], "weight of new is 101"),
        (
            [
                CODER,
                CODER0,
                Model(alias="v", kind="embedding", model="v", settings={"fallback": "coder"}),
                Backend(name="v", model="v", url="http://v:1"),
            ],
            "coder cannot answer in its stead",
        ),
        ([Model(alias="x", kind="chat", model="x", settings={"forced_parameters": {"stream": True}})], "stream is the"),
        ([Model(alias="x", kind="chat", model="x", settings={"tool_call_parser": "hermès"})], "tool_call_parser"),
        ([Model(alias="x", kind="chat", model="x", settings={"policy": "best"})], "policy is 'best'"),
        ([Model(alias="x", kind="robot", model="x")], "robot"),
    ],
)
def test_what_does_not_fit_is_left_out_and_told(rows: list[Model | Backend], said: str) -> None:
    (sentence,) = objections(STATIC, sorted_rows(*rows))
    assert said in sentence
    found = merged(*rows).roster
    assert [one.name for one in found.groups][:2] == ["chat", "text2sql"]
    assert group(found, "chat").backends == group(STATIC, "chat").backends


def places(blob: bytes) -> dict[str, int]:
    return {place.name: place.column for place in read_edition(blob).places if not place.until}


def test_a_backend_keeps_its_column_and_one_that_left_is_not_followed_for_as_long_as_a_request_lasts() -> None:
    def rows(*names: str) -> Rows:
        return Rows([CODER], [Backend(name=name, model="coder", url=f"http://{name}:1") for name in names])

    first = compose(STATIC, rows("a", "b"), now=100.0, rest_secs=REST)
    kept = places(first)
    assert set(kept.values()) == {BACKENDS - 1, BACKENDS - 2}
    second = compose(STATIC, rows("b", "c"), before=first, now=101.0, rest_secs=REST)
    assert places(second)["b"] == kept["b"]
    assert places(second)["c"] not in kept.values()
    back = compose(STATIC, rows("a", "b", "c"), before=second, now=102.0, rest_secs=REST)
    assert places(back)["a"] == kept["a"], "the same backend: what runs there is its own"
    later = compose(STATIC, rows("b", "c", "d"), before=second, now=101.0 + REST + 1, rest_secs=REST)
    assert places(later)["d"] == kept["a"]


def test_another_url_is_another_backend() -> None:
    first = compose(STATIC, sorted_rows(CODER, CODER0), now=1.0, rest_secs=REST)
    moved = Backend(name="coder0", model="coder", url="http://elsewhere:1")
    second = compose(STATIC, sorted_rows(CODER, moved), before=first, now=2.0, rest_secs=REST)
    assert places(second)["coder0"] != places(first)["coder0"]


def test_who_finds_no_column_is_left_out() -> None:
    many = [Backend(name=f"b{n:02}", model="coder", url=f"http://b{n}:1") for n in range(BACKENDS)]
    found = merged(CODER, *many)
    assert len(group(found.roster, "coder").backends) == BACKENDS - 3
    assert len(found.objections) == 3
    assert "there is room for 64 backends" in found.objections[0]


def test_the_same_rows_make_the_same_blob_in_any_order() -> None:
    rows: list[Model | Backend] = [CODER, CODER0, Backend(name="a", model="chat", url="http://a:1")]
    assert len({compose(STATIC, sorted_rows(*some), now=1.0, rest_secs=REST) for some in (rows, rows[::-1])}) == 1


def test_where_nothing_is_said_the_blob_is_that_before_the_first_one() -> None:
    assert compose(STATIC, Rows(), now=1.0, rest_secs=REST) == b"", "another one would void what is kept of answers"
    assert compose(STATIC, Rows(drained={"chat0"}), now=1.0, rest_secs=REST)


def test_who_wants_to_change_the_settings_is_told_where_they_stand() -> None:
    assert [source_of(name) for name in ("chat", "embed", "coder")] == [
        "CHAT_BACKENDS",
        "EMBED_BACKEND",
        "`models:` in GATEWAY_CONFIG",
    ]
