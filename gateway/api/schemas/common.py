"""What do all bodies share? The open base of every schema, token counts, and the two spellings of a failure."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Body(BaseModel):
    """An object whose named fields are the common ones; what else vLLM takes or gives passes unread."""

    model_config = ConfigDict(extra="allow")


class Failure(Body):
    """What went wrong, for people and programs."""

    message: str = Field(description="A sentence for people.")
    type: str = Field(description="The class of the failure.", examples=["invalid_request_error"])
    param: str | None = Field(default=None, description="The request field at fault, if one is.")
    code: str | int | None = Field(
        default=None,
        description="A stable word for programs. Where a backend states the failure, vLLM's number, the HTTP status.",
        examples=["model_not_found"],
    )


class ErrorEnvelope(Body):
    """How every failure is spelled, except on the Anthropic paths."""

    error: Failure


class AnthropicFailure(Body):
    """What went wrong, in Anthropic's words."""

    type: str = Field(description="The class of the failure.", examples=["invalid_request_error"])
    message: str = Field(description="A sentence for people.")


class AnthropicErrorEnvelope(Body):
    """How a failure is spelled on `/v1/messages` and below it."""

    type: Literal["error"] = "error"
    error: AnthropicFailure
    request_id: str | None = None


class TokenCounts(Body):
    """What a request cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int | None = None
    total_tokens: int


class StreamOptions(Body):
    """What a stream should carry besides its tokens."""

    include_usage: bool = Field(default=False, description="Send token counts in a last event before `[DONE]`.")
    continuous_usage_stats: bool = Field(default=False, description="With include_usage: counts in every event.")


class Sampling(Body):
    """The fields of text generation that OpenAI's chat and completions paths share."""

    stream: bool = Field(default=False, description="Answer in server-sent events as tokens come.")
    stream_options: StreamOptions | None = Field(default=None, description="Only with `stream`.")
    max_tokens: int | None = Field(default=None, ge=1, description="Tokens to generate at the most.")
    temperature: float | None = Field(default=None, ge=0, description="0 always takes the likeliest token.")
    top_p: float | None = Field(default=None, description="The share of probability that tokens are drawn from.")
    n: int | None = Field(default=None, ge=1, description="Answers to generate for one prompt.")
    stop: str | list[str] | None = Field(default=None, description="Texts that end the generation.")
    seed: int | None = Field(default=None, description="Makes sampling repeatable, as far as the backend can.")
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


JsonObject = dict[str, Any]
