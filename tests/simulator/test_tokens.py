"""Are tokens what they spell, wherever they are counted?"""

import httpx
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator import tokens
from tests.simulator.clients import QUESTION, body, post
from tests.support.simulators import Simulator


@given(st.text())
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(tokens.split(text)) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_ids_decode_to_the_text(text: str) -> None:
    assert tokens.decode(tokens.encode(text)) == text


@given(st.text())
def test_ids_fit_jsons_integers(text: str) -> None:
    assert all(0 < token < tokens.BEYOND for token in tokens.encode(text))


def test_english_has_about_as_many_tokens_as_in_the_real_tokenizer() -> None:
    text = "The quick brown fox jumps over the lazy dog, and then it rests under a tree for an hour or two."
    assert 1.05 < tokens.count(text) / len(text.split()) < 1.6


def test_special_marks_are_one_token() -> None:
    assert tokens.split("<|im_start|>user") == ["<|im_start|>", "user"]
    assert tokens.decode(tokens.encode("<|im_end|>")) == "<|im_end|>"


def test_an_id_that_nothing_has_is_the_replacement_character() -> None:
    assert tokens.decode([tokens.BEYOND]) == "�"


def test_a_conversation_has_the_same_length_everywhere(chat: Simulator) -> None:
    counted = post(chat, {"messages": QUESTION}, "/tokenize").json()["count"]
    assert post(chat, body(max_tokens=1)).json()["usage"]["prompt_tokens"] == counted
    claude = post(chat, {"model": "qwen", "messages": QUESTION}, "/v1/messages/count_tokens").json()
    assert claude["input_tokens"] == counted


def test_an_answer_tokenizes_to_what_was_counted(chat: Simulator) -> None:
    answer: httpx.Response = post(chat, body())
    content = answer.json()["choices"][0]["message"]["content"]
    ended_by_itself = 1
    assert answer.json()["usage"]["completion_tokens"] == tokens.count(content) + ended_by_itself
