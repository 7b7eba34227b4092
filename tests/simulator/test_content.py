"""Do the answers make sense in a demo?"""

from typing import Any

import orjson
import pytest

from gateway.simulator.content import prose, sql, vectors
from gateway.simulator.content.calls import value_for
from tests.simulator.clients import body, post
from tests.support.simulators import Simulator

SCHEMA = """CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(80), city TEXT);
CREATE TABLE orders (
    id INT, customer_id INT, amount DECIMAL(10, 2), FOREIGN KEY (customer_id) REFERENCES customers(id)
);
"""


def similarity(first: str, second: str) -> float:
    return vectors.cosine(vectors.embedding(first, 1024), vectors.embedding(second, 1024))


def test_similar_texts_have_similar_vectors() -> None:
    close = similarity("How do I reset my password?", "Resetting a forgotten password")
    far = similarity("How do I reset my password?", "Bananas grow in warm countries")
    assert close > 0.3
    assert far < close / 2
    assert similarity("the same text", "the same text") == pytest.approx(1)


def test_the_document_that_shares_words_ranks_first(rerank: Simulator) -> None:
    documents = ["Bananas are yellow.", "Paris is the capital of France.", "France has many rivers."]
    answer = post(rerank, {"query": "What is the capital of France?", "documents": documents}, "/rerank").json()
    assert [result["index"] for result in answer["results"]] == [1, 2, 0]
    assert all(0 < result["relevance_score"] < 1 for result in answer["results"])


def test_vectors_have_length_one_and_do_not_change(embed: Simulator) -> None:
    answers = [post(embed, {"input": ["hello world"]}, "/v1/embeddings").json()["data"][0] for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(answers[0]["embedding"]) == 1024
    assert sum(value * value for value in answers[0]["embedding"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("question", "query"),
    [
        ("How many orders are there?", "SELECT COUNT(*)\nFROM orders;"),
        ("What is the total amount of all orders?", "SELECT SUM(amount)\nFROM orders;"),
        ("Count customers per city", "SELECT city, COUNT(*)\nFROM customers\nGROUP BY city;"),
        ("List the name and city of the customers", "SELECT name, city\nFROM customers;"),
    ],
)
def test_sql_is_built_from_the_tables_and_words_of_the_question(question: str, query: str) -> None:
    assert f"```sql\n{query}\n```" in sql.answer(SCHEMA + question, question)


def test_text2sql_answers_in_the_models_form() -> None:
    with Simulator("text2sql") as server:
        messages = [{"role": "system", "content": SCHEMA}, {"role": "user", "content": "How many orders are there?"}]
        content = post(server, {"messages": messages}).json()["choices"][0]["message"]["content"]
    assert content.startswith("<think>\n")
    assert content.endswith("<answer>\n```sql\nSELECT COUNT(*)\nFROM orders;\n```\n</answer>")


def test_sql_without_a_schema_still_names_a_table() -> None:
    assert "FROM invoices" in sql.answer("Show all invoices", "Show all invoices")


def test_a_chat_answer_speaks_of_what_was_asked() -> None:
    assert "lighthouses" in prose.answer("Tell me about lighthouses")
    assert prose.answer("Tell me about lighthouses") != prose.answer("Tell me about lighthouses", 1)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "enum": ["red", "blue"]}, "blue"),
        ({"type": "integer"}, 7),
        ({"type": "array", "items": {"type": "boolean"}}, [True]),
        ({"const": 3}, 3),
        ({"anyOf": [{"type": "null"}]}, None),
        ({"type": "object", "properties": {"place": {"type": "string"}}}, {"place": "Rome"}),
    ],
)
def test_values_fit_their_schema_and_use_the_question(schema: dict[str, Any], expected: Any) -> None:
    assert value_for(schema, "Paint 7 walls blue in Rome") == expected


def test_json_is_answered_where_it_is_asked_for(chat: Simulator) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    content = post(chat, body(response_format=form)).json()["choices"][0]["message"]["content"]
    assert orjson.loads(content).keys() == {"city"}


@pytest.mark.parametrize(("question", "called"), [("What is the weather in Rome?", True), ("Who wrote Faust?", False)])
def test_a_tool_is_called_when_the_question_is_about_it(chat: Simulator, question: str, *, called: bool) -> None:
    function = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    asked = {"messages": [{"role": "user", "content": question}], "tools": [{"type": "function", "function": function}]}
    choice = post(chat, asked).json()["choices"][0]
    assert (choice["finish_reason"] == "tool_calls") is called
    if called:
        call = choice["message"]["tool_calls"][0]["function"]
        assert (call["name"], orjson.loads(call["arguments"])) == ("get_weather", {"city": "Rome"})


def test_after_a_tools_result_the_model_answers(chat: Simulator) -> None:
    messages = [{"role": "user", "content": "weather?"}, {"role": "tool", "content": "12 degrees"}]
    function = {"name": "get_weather", "parameters": {}}
    answer = post(chat, {"messages": messages, "tools": [{"type": "function", "function": function}]}).json()
    assert "12 degrees" in answer["choices"][0]["message"]["content"]
