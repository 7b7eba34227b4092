"""What do `/v1/chat/completions` and `/v1/text2sql` take and give?"""

from typing import Literal

from pydantic import Field

from gateway.api.schemas.common import Body, JsonObject, Sampling, TokenCounts


class ChatMessage(Body):
    """One turn of a conversation."""

    role: str = Field(description="`system`, `user`, `assistant` or `tool`.", examples=["user"])
    content: str | list[JsonObject] | None = Field(
        default=None, description="The text, or parts `{type: text, text: ...}`. These models read no images or sounds."
    )
    tool_calls: list[JsonObject] | None = Field(default=None, description="The calls that an assistant's turn made.")
    tool_call_id: str | None = Field(default=None, description="The call that a tool's turn answers.")


class FunctionDefinition(Body):
    """A function the model may call."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = Field(default=None, description="JSON Schema of the arguments.")
    strict: bool | None = Field(default=None, description="True holds the arguments to the schema.")


class Tool(Body):
    """A tool offered to the model."""

    type: Literal["function"] = "function"
    function: FunctionDefinition


class TextToSqlRequest(Sampling):
    """A chat body for the text-to-SQL model; `model` may be absent."""

    messages: list[ChatMessage] = Field(min_length=1, description="The schema and the question.")
    model: str | None = Field(default=None, description="One of the text-to-SQL model's names.")


class ChatRequest(Sampling):
    """OpenAI's chat body, and whatever else vLLM understands."""

    messages: list[ChatMessage] = Field(min_length=1, description="The conversation so far.")
    model: str | None = Field(default=None, description="A name from `/v1/models`; the chat model when absent.")
    max_completion_tokens: int | None = Field(
        default=None, ge=1, description="Tokens to generate at the most; to the end of the context when absent."
    )
    tools: list[Tool] | None = None
    tool_choice: str | JsonObject | None = Field(
        default=None, description="`auto`, `none`, `required`, or the function that must be called."
    )
    response_format: JsonObject | None = Field(
        default=None, description="`{type: json_object}` or `{type: json_schema, json_schema: ...}`."
    )
    logprobs: bool | None = None
    top_logprobs: int | None = None


class ChatChoice(Body):
    """One generated answer."""

    index: int
    message: ChatMessage
    finish_reason: str | None = Field(default=None, description="`stop`, `length` or `tool_calls`.")


class ChatCompletion(Body):
    """A whole answer; `model` is the name that was asked for."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="Seconds since 1970 UTC.")
    model: str
    choices: list[ChatChoice]
    usage: TokenCounts | None = None
