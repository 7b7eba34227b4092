"""What do `/v1/messages` and `/v1/messages/count_tokens` take and give? Anthropic's words."""

from typing import Literal

from pydantic import Field

from gateway.api.schemas.common import Body, JsonObject


class MessageTurn(Body):
    """One turn of a conversation."""

    role: Literal["user", "assistant"]
    content: str | list[JsonObject] = Field(description="The text, or content blocks.")


class TokenCountRequest(Body):
    """A conversation whose tokens are counted."""

    messages: list[MessageTurn] = Field(min_length=1)
    model: str | None = Field(default=None, description="A name from `/v1/models`; the chat model when absent.")
    system: str | list[JsonObject] | None = None
    tools: list[JsonObject] | None = None


class MessageRequest(TokenCountRequest):
    """Anthropic's message body."""

    max_tokens: int = Field(ge=1, description="Tokens to generate at the most.")
    stream: bool = Field(default=False, description="Answer in typed server-sent events.")
    stop_sequences: list[str] | None = None
    temperature: float | None = Field(default=None, ge=0)
    tool_choice: JsonObject | None = None


class MessageUsage(Body):
    """What a request cost, in tokens."""

    input_tokens: int
    output_tokens: int


class MessageAnswer(Body):
    """A whole answer."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[JsonObject]
    stop_reason: str | None = Field(default=None, description="`end_turn`, `max_tokens`, `stop_sequence`, `tool_use`.")
    usage: MessageUsage


class TokenCount(Body):
    """How many tokens a conversation has."""

    input_tokens: int
