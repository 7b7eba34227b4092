"""Settings of the fleet: what is taken, what stops the start."""

import pytest
from pydantic import ValidationError

from gateway.backends.settings import BackendSettings
from gateway.settings import load

KEY = "sk-backends-4f2a"


def build(**fields: object) -> BackendSettings:
    return BackendSettings.model_validate({"backend_api_key": KEY, "chat_backends": "http://chat0:8000", **fields})


def refusal(**fields: object) -> str:
    with pytest.raises(ValidationError) as caught:
        build(**fields)
    return " ".join(error["msg"] for error in caught.value.errors())


def test_a_comma_list_becomes_urls_without_blanks_and_trailing_slashes() -> None:
    settings = build(chat_backends=" http://chat0:8000/ ,, http://chat1:8000")
    assert settings.chat_backends == ("http://chat0:8000", "http://chat1:8000")


def test_a_yaml_list_is_as_good_as_a_comma_list() -> None:
    assert build(chat_aliases=["a", "b"]).chat_aliases == ("a", "b")


def test_the_environment_gives_plain_comma_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", KEY)
    monkeypatch.setenv("BACKEND_API_KEY", KEY)
    monkeypatch.setenv("CHAT_BACKENDS", "http://chat0:8000,http://chat1:8000")
    monkeypatch.setenv("EMBED_ALIASES", " , ")
    settings = load(None)
    assert settings.chat_backends == ("http://chat0:8000", "http://chat1:8000")
    assert settings.embed_aliases == ()


def test_without_a_chat_backend_the_start_is_refused() -> None:
    assert "CHAT_BACKENDS is not set" in refusal(chat_backends=" , ")


def test_one_url_named_twice_is_refused() -> None:
    assert "names a URL twice" in refusal(chat_backends="http://chat0:8000,http://chat0:8000/")


def test_a_list_where_one_server_belongs_is_refused() -> None:
    assert "takes one URL" in refusal(rerank_backend="http://a:8000,http://b:8000")


@pytest.mark.parametrize("url", ["http://chat0:8000/v1", "http://chat0:8000/base/v1/", "http://chat0:8000/V1"])
@pytest.mark.parametrize("field", ["chat_backends", "text2sql_backend", "embed_backend", "rerank_backend"])
def test_a_url_that_ends_with_v1_is_refused_and_the_sentence_says_what_to_leave_out(field: str, url: str) -> None:
    assert "leave that out" in refusal(**{field: url})


def test_a_url_with_another_path_is_taken() -> None:
    assert build(embed_backend="http://proxy:80/embed/").embed_backend == "http://proxy:80/embed"


@pytest.mark.parametrize("key", ["", "todo-ask-the-operators", "two words of it"])
def test_an_unfit_key_is_refused_without_repeating_it(key: str) -> None:
    message = refusal(backend_api_key=key)
    assert "BACKEND_API_KEY" in message
    assert not key or key not in message


@pytest.mark.parametrize("field", ["backend_probe_interval_secs", "backend_probe_timeout_secs"])
def test_a_probe_interval_or_timeout_of_nothing_is_refused(field: str) -> None:
    assert "greater than 0" in refusal(**{field: 0})


@pytest.mark.parametrize("weights", ["0,1", "1,-1", "1,101", "heavy,light"])
def test_a_weight_is_a_whole_number_from_1_to_100(weights: str) -> None:
    assert refusal(chat_weights=weights)


def test_weights_that_take_too_many_turns_to_be_kept_are_refused() -> None:
    assert "CHAT_WEIGHTS are kept after 1001 turns, and 1000 are the most" in refusal(chat_weights="100," * 9 + "99,2")


def test_equal_weights_are_kept_after_one_turn_for_each_however_heavy_they_are() -> None:
    assert build(chat_weights="100," * 64).chat_weights == (100,) * 64


@pytest.mark.parametrize("field", ["backend_up_after", "backend_down_after", "backend_down_after_under_load"])
def test_a_number_of_probes_is_at_least_one(field: str) -> None:
    assert "greater than or equal to 1" in refusal(**{field: 0})


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in BackendSettings.model_fields.values())
