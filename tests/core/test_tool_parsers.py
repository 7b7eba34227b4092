"""A model's name tells its family, and that the parser of its tool calls."""

import pytest

from gateway.core.tool_parsers import FAMILIES, PARSERS, parser_of


@pytest.mark.parametrize(
    ("name", "parser"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "hermes"),
        ("qwen", "hermes"),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3_coder"),
        ("NousResearch/Hermes-3-Llama-3.1-8B", "hermes"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3_json"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral"),
        ("openai/gpt-oss-20b", "openai"),
        ("Snowflake/Arctic-Text2SQL-R1-7B", ""),
        ("my-own-model", ""),
    ],
)
def test_a_family_has_a_parser(name: str, parser: str) -> None:
    assert parser_of([name]) == parser


def test_the_first_name_that_tells_anything_counts() -> None:
    assert parser_of(["mine", "Qwen/Qwen2.5-7B-Instruct"]) == "hermes"


def test_every_familys_parser_is_one_that_vllm_has() -> None:
    assert {parser for _, parser in FAMILIES} <= PARSERS
