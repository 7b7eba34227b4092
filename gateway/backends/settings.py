"""Which backends does the operator name, and how are they asked? The settings of this room."""

from math import gcd
from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, SecretStr, field_validator

from gateway.backends.choices import MAX_TURNS, NO_PARSER
from gateway.core.keys import refuse_unfit
from gateway.core.model_card import ModelCard, read_cards
from gateway.core.room_settings import RoomSettings, split_list
from gateway.core.tool_parsers import PARSERS


def _without_v1(url: str) -> str:
    """Refuse OpenAI's habit: the gateway puts /v1 before its paths itself, and /health has none."""
    if url.lower().endswith("/v1"):
        raise ValueError("a URL ends with /v1: leave that out, as in http://chat0:8000; the gateway adds the paths")
    return url


Weights = Annotated[tuple[Annotated[int, Field(ge=1, le=100)], ...], BeforeValidator(split_list)]
"""Whole numbers, written as `Names` are."""
Names = Annotated[tuple[str, ...], BeforeValidator(split_list)]
"""A comma-separated list in the environment, a list or such a string in YAML."""


def _cards(value: object) -> tuple[ModelCard, ...]:
    """Cards as they are, YAML's section, or the same as JSON in the environment."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise ValueError("GATEWAY_MODELS is no JSON: better give it as `models:` in GATEWAY_CONFIG") from None
    return read_cards(value)


Cards = Annotated[tuple[ModelCard, ...], PlainValidator(_cards), PlainSerializer(msgspec.to_builtins, return_type=Any)]


def _known_parser(name: str) -> str:
    """Refuse a name that vLLM would not have taken either."""
    if name not in PARSERS | {NO_PARSER}:
        raise ValueError(f"is {name!r}: vLLM has {', '.join(sorted(PARSERS))}; {NO_PARSER}: the servers have none")
    return name


ToolParser = Annotated[str, AfterValidator(_known_parser)]


class BackendSettings(RoomSettings):
    """The fleet: four groups of vLLM servers, each serving one model."""

    backend_api_key: SecretStr = Field(
        default=SecretStr(""),
        validate_default=True,
        description="The key that the gateway shows to every backend (vLLM's VLLM_API_KEY), never clients. Required.",
    )
    chat_backends: Names = Field(
        default=(),
        validate_default=True,
        description="Comma-separated URLs of the chat replicas, as http://chat0:8000,http://chat1:8000. Required.",
    )
    chat_model: str = Field(
        default="qwen",
        min_length=1,
        description="The chat model's name at its backends (their first --served-model-name).",
    )
    chat_aliases: Names = Field(
        default=("qwen", "Qwen/Qwen2.5-7B-Instruct"),
        description="Comma-separated names under which clients may ask for the chat model, besides CHAT_MODEL.",
    )
    chat_weights: Weights = Field(
        default=(),
        description=(
            "Comma-separated shares of the chat replicas, in the order of CHAT_BACKENDS, as 2,1: for "
            "BALANCING_POLICY=weighted_round_robin. Empty: equal shares."
        ),
    )
    chat_tool_parser: ToolParser = Field(
        default="hermes",
        description=(
            "The --tool-call-parser with which the chat servers were started. none: they have none, and tools are "
            "refused before they reach one."
        ),
    )
    chat_fallback: str = Field(
        default="",
        description=(
            "The group that answers when the chat group is down or overloaded, as text2sql; an answer says so in "
            "x-gateway-fallback. Empty: none."
        ),
    )
    text2sql_backend: str = Field(
        default="",
        description="URL of the text-to-SQL server; empty: there is no such model.",
    )
    text2sql_model: str = Field(
        default="Snowflake/Arctic-Text2SQL-R1-7B",
        min_length=1,
        description="The text-to-SQL model's name at its backend.",
    )
    text2sql_aliases: Names = Field(
        default=("text2sql",),
        description="Comma-separated names of the text-to-SQL model for clients, besides TEXT2SQL_MODEL.",
    )
    text2sql_tool_parser: ToolParser = Field(
        default=NO_PARSER,
        description="The text-to-SQL server's --tool-call-parser; none: it has none.",
    )
    text2sql_fallback: str = Field(
        default="",
        description="The group that answers when the text-to-SQL group is down or overloaded, as chat. Empty: none.",
    )
    embed_backend: str = Field(
        default="",
        description="URL of the embedding server; empty: there is no such model.",
    )
    embed_model: str = Field(
        default="Snowflake/snowflake-arctic-embed-l-v2.0",
        min_length=1,
        description="The embedding model's name at its backend.",
    )
    embed_aliases: Names = Field(
        default=("snowflake-arctic-embed",),
        description="Comma-separated names of the embedding model for clients, besides EMBED_MODEL.",
    )
    embed_fallback: str = Field(
        default="",
        description=(
            "The group that ranks and scores when the embedding group is down or overloaded, as rerank; nothing "
            "stands in for embeddings. Empty: none."
        ),
    )
    rerank_backend: str = Field(
        default="",
        description="URL of the reranker; empty: there is no such model.",
    )
    rerank_model: str = Field(
        default="BAAI/bge-reranker-v2-m3",
        min_length=1,
        description="The reranker's name at its backend.",
    )
    rerank_aliases: Names = Field(
        default=("bge-reranker-v2-m3",),
        description="Comma-separated names of the reranker for clients, besides RERANK_MODEL.",
    )
    rerank_fallback: str = Field(
        default="",
        description="The group that ranks and scores when the reranker is down or overloaded, as embed. Empty: none.",
    )
    gateway_models: Cards = Field(
        default=(),
        description=(
            "What the settings above cannot say of models (default and forced parameters, system prompts, tool-call "
            "parsers, policies), and further models with their backends: `models:` in the file of GATEWAY_CONFIG, here "
            "the same as JSON. See docs/decisions/0075-models-at-run-time.md."
        ),
    )
    backend_probe_interval_secs: float = Field(
        default=10.0,
        gt=0,
        description=(
            "Seconds between two health probes of a backend, which the supervisor makes for all workers; 1 s, if that "
            "is less, while anything is the matter with it."
        ),
    )
    backend_probe_timeout_secs: float = Field(
        default=5.0,
        gt=0,
        description="Seconds that one health probe may take before it counts as failed.",
    )
    backend_loading_secs: float = Field(
        default=900.0,
        ge=0,
        description=(
            "Seconds after the gateway's start during which a backend that was never reached is called loading, "
            "not down (a vLLM server opens its port when its model is loaded); 0: down at once."
        ),
    )
    backend_up_after: int = Field(
        default=3,
        ge=1,
        description="Good probes in a row after which a backend that was down has its share of the requests again.",
    )
    backend_down_after: int = Field(
        default=1,
        ge=1,
        description="Bad probes in a row after which a backend gets no requests.",
    )
    backend_down_after_under_load: int = Field(
        default=2,
        ge=1,
        description=(
            "The same while requests of ours run there, for what too much load looks like: a time-out, a broken "
            "answer. A time-out while it makes tokens never counts."
        ),
    )
    backend_stall_secs: float = Field(
        default=30.0,
        gt=0,
        description=(
            "Seconds without a new token or a finished request, while requests of ours run there, after which a "
            "backend is down even if its /health says 200; longer than the longest prompt takes to be read."
        ),
    )

    @field_validator("backend_api_key")
    @classmethod
    def _backend_key_is_real(cls, value: SecretStr) -> SecretStr:
        """Refuse what would send every request to a 401, without repeating the value."""
        refuse_unfit(value.get_secret_value(), "BACKEND_API_KEY")
        return value

    @field_validator("chat_backends")
    @classmethod
    def _chat_backends_are_given_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """A gateway without a chat backend could never be ready; a URL named twice would get twice the load."""
        urls = [url.rstrip("/") for url in value]
        if not urls:
            raise ValueError("CHAT_BACKENDS is not set: give the URLs of the chat servers, separated by commas")
        if len(set(urls)) < len(urls):
            raise ValueError("CHAT_BACKENDS names a URL twice")
        return tuple(_without_v1(url) for url in urls)

    @field_validator("chat_weights")
    @classmethod
    def _chat_weights_are_soon_kept(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        """Shares that take thousands of turns to be kept would cost each worker memory and a standstill."""
        turns = sum(value) // gcd(*value) if value else 0
        if turns > MAX_TURNS:
            raise ValueError(f"CHAT_WEIGHTS are kept after {turns} turns, and {MAX_TURNS} are the most: round them")
        return value

    @field_validator("text2sql_backend", "embed_backend", "rerank_backend")
    @classmethod
    def _single_backend_is_one_url(cls, value: str) -> str:
        """These groups hold one server: a list would be a host name with a comma in it."""
        if "," in value:
            raise ValueError("takes one URL: only CHAT_BACKENDS may be a list")
        return _without_v1(value.strip().rstrip("/"))
