"""What may a request say in the dialects of /v1/responses and /v1/messages?"""

from typing import Any, Literal

from pydantic import Field

from gateway.simulator.bodies.parsing import Body, Salted


class ResponsesTool(Body):
    """A tool of /v1/responses: the function's fields stand beside its type."""

    type: str = "function"
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ResponsesBody(Salted):
    """POST /v1/responses."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: int | None = None
    stream: bool | None = False
    temperature: float | None = None
    top_p: float | None = None
    tools: list[ResponsesTool] = Field(default_factory=list)
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = True
    previous_response_id: str | None = None
    background: bool | None = False
    store: bool | None = True
    metadata: dict[str, str] | None = None
    user: str | None = None
    priority: int = 0
    ignore_eos: bool = False
    request_id: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class AnthropicMessage(Body):
    """A turn of /v1/messages."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class AnthropicTool(Body):
    """A tool of /v1/messages."""

    name: str
    description: str | None = None
    input_schema: dict[str, Any]


class AnthropicChoice(Body):
    """How freely the tools may be used."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None


class AnthropicThinking(Body):
    """Whether it may think before it answers."""

    type: Literal["enabled", "disabled", "adaptive"]


class AnthropicOutput(Body):
    """How hard it is to think."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class CountBody(Body):
    """POST /v1/messages/count_tokens."""

    model: str
    messages: list[AnthropicMessage]
    system: str | list[dict[str, Any]] | None = None
    tools: list[AnthropicTool] | None = None
    tool_choice: AnthropicChoice | None = None
    thinking: AnthropicThinking | None = None
    output_config: AnthropicOutput | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class MessagesBody(CountBody):
    """POST /v1/messages."""

    max_tokens: int = Field(gt=0)
    cache_salt: str | None = Field(None, min_length=1, max_length=1024)
    stop_sequences: list[str] | None = None
    stream: bool | None = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    ignore_eos: bool = False
