"""What does `/v1/responses` take and give?"""

from typing import Literal

from pydantic import Field

from gateway.api.schemas.common import Body, JsonObject


class ResponseRequest(Body):
    """OpenAI's Responses body, without what would keep state in one replica."""

    input: str | list[JsonObject] = Field(description="A text, or the items of the conversation so far.")
    model: str | None = Field(default=None, description="A name from `/v1/models`; the chat model when absent.")
    instructions: str | None = Field(default=None, description="A system message.")
    max_output_tokens: int | None = Field(default=None, ge=1, description="Tokens to generate at the most.")
    stream: bool = Field(default=False, description="Answer in typed server-sent events.")
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = None
    tools: list[JsonObject] | None = None
    store: Literal[False] | None = Field(default=None, description="`true` is refused: nothing is kept here.")


class ResponseUsage(Body):
    """What a request cost, in tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class ModelResponse(Body):
    """A whole answer."""

    id: str
    object: Literal["response"] = "response"
    status: str = Field(description="`completed`, `incomplete` (cut by max_output_tokens) or `failed`.")
    model: str
    output: list[JsonObject] = Field(description="Messages, reasoning and calls, in order.")
    usage: ResponseUsage | None = None
