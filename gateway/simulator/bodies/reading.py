"""What may a request say whose text is only read? Embeddings, ranking, tokens."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from gateway.simulator.bodies.generating import ChatMessage, Tool
from gateway.simulator.bodies.parsing import Body, Salted, missing


class EmbeddingBody(Salted):
    """POST /v1/embeddings."""

    input: list[int] | list[list[int]] | str | list[str]
    encoding_format: Literal["float", "base64", "bytes", "bytes_only"] = "float"
    dimensions: int | None = None
    truncate_prompt_tokens: int | None = Field(None, ge=-1)
    priority: int = 0


class RerankBody(Salted):
    """POST /rerank, /v1/rerank, /v2/rerank. Documents are texts; their object form is refused."""

    query: str
    documents: str | list[str]
    top_n: int = Field(0, ge=0)
    truncate_prompt_tokens: int | None = Field(None, ge=-1)
    use_activation: bool | None = None
    priority: int = 0


_PAIRS = (("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2"))


class ScoreBody(Salted):
    """POST /score, /v1/score: any of vLLM's four pairs of names."""

    first: str | list[str]
    second: str | list[str]
    truncate_prompt_tokens: int | None = Field(None, ge=-1)
    use_activation: bool | None = None
    priority: int = 0

    @model_validator(mode="wrap")
    @classmethod
    def _any_pair_of_names(cls, data: Any, read: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 -- not validated yet
        if not isinstance(data, dict):
            return read(data)
        for first, second in _PAIRS:
            if first in data and second in data:
                return read({**data, "first": data[first], "second": data[second]})
        raise missing("ScoreBody", data, [name for pair in _PAIRS for name in pair if name not in data])


class TokenizeBody(Body):
    """POST /tokenize, with a prompt or with messages."""

    prompt: str | None = None
    messages: list[ChatMessage] | None = None
    tools: list[Tool] | None = None
    return_token_strs: bool | None = False
    add_special_tokens: bool | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _one_of_the_two(cls, data: Any, read: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 -- not validated yet
        if isinstance(data, dict) and data.get("prompt") is None and data.get("messages") is None:
            raise missing("TokenizeBody", data, ["prompt", "messages"])
        return read(data)


class DetokenizeBody(Body):
    """POST /detokenize."""

    tokens: list[Annotated[int, Field(ge=0)]]
