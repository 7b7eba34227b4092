"""What may a generating request say? Chat and completions, their tools, and the sampling fields of all dialects."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.simulator.bodies.parsing import Body, Salted, broken_rule

_INT64 = 2**63


class StreamOptions(Body):
    """What a stream says about usage."""

    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


class Sampling(Salted):
    """The fields that all generating endpoints share."""

    n: int | None = 1
    stop: str | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = Field(None, ge=-_INT64, lt=_INT64)
    max_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: list[int] | None = None
    include_stop_str_in_output: bool = False
    truncate_prompt_tokens: int | None = Field(None, ge=-1)
    priority: int = Field(0, ge=-_INT64, lt=_INT64)
    request_id: str | None = None
    stream_interval: int | None = Field(None, ge=1)
    return_token_ids: bool | None = None

    @model_validator(mode="after")
    def _options_need_a_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise broken_rule("Stream options can only be defined when `stream=True`.", "stream_options")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def usage_wanted(self) -> tuple[bool, bool]:
        """Whether the stream ends with usage, and whether every chunk carries it."""
        if self.stream_options is None:
            return False, False
        wanted = bool(self.stream_options.include_usage)
        return wanted, wanted and bool(self.stream_options.continuous_usage_stats)


class Function(Body):
    """A tool's function."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body):
    """A tool that the model may call."""

    type: Literal["function"] = "function"
    function: Function


class FunctionName(Body):
    """The function of a named tool choice."""

    name: str


class NamedChoice(Body):
    """A tool choice that names its tool."""

    type: Literal["function"] = "function"
    function: FunctionName


class ChatMessage(BaseModel):
    """A message must say who speaks; all else is read where it is needed."""

    model_config = ConfigDict(extra="allow")

    role: str


def turns(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """The messages as plain objects."""
    return [{"role": message.role, **(message.model_extra or {})} for message in messages]


class ResponseFormat(Body):
    """What the answer must look like."""

    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: dict[str, Any] | None = None


class ChatBody(Sampling):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage]
    max_completion_tokens: int | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = 0
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = "none"
    return_prompt_text: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _tools_and_their_choice(cls, data: Any) -> Any:  # noqa: ANN401 -- not validated yet
        if isinstance(data, dict):
            _check_tools(data)
            _check_logprobs(data)
            if data.get("tools") and "tool_choice" not in data:
                return {**data, "tool_choice": "auto"}
        return data

    @property
    def wanted_tokens(self) -> int | None:
        """The cap that the client set, under its new name or its old one."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


class CompletionBody(Sampling):
    """POST /v1/completions."""

    prompt: list[int] | list[list[int]] | str | list[str] | None = None
    max_tokens: int | None = 16
    n: int | None = 1
    echo: bool | None = False
    logprobs: int | None = None


def _check_tools(data: Mapping[str, Any]) -> None:
    tools, choice = data.get("tools"), data.get("tool_choice")
    if tools == []:
        raise broken_rule(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.", "tools"
        )
    if choice in (None, "none"):
        return
    if tools is None:
        raise broken_rule("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if isinstance(choice, dict):
        _check_named(choice, tools)
    elif choice not in ("auto", "required"):
        raise broken_rule(
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" are supported.',
            "tool_choice",
        )


def _check_named(choice: Mapping[str, Any], tools: Any) -> None:  # noqa: ANN401 -- not validated yet
    usage = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'
    function = choice.get("function")
    if not isinstance(function, dict):
        raise broken_rule(
            f"Invalid value for `function`: `{function}` in `tool_choice`! {usage}", "tool_choice.function"
        )
    if not function.get("name"):
        raise broken_rule(f"Expected field `name` in `function` in `tool_choice`! {usage}", "tool_choice.function.name")
    names = [tool.get("function", {}).get("name") for tool in tools if isinstance(tool, dict)]
    if function["name"] not in names:
        raise broken_rule(
            "The tool specified in `tool_choice` does not match any of the specified `tools`", "tool_choice"
        )


def _check_logprobs(data: Mapping[str, Any]) -> None:
    top = data.get("top_logprobs")
    if isinstance(top, int) and top < -1:
        raise broken_rule("`top_logprobs` must be a positive value or -1.", "top_logprobs")
    if top and not data.get("logprobs"):
        raise broken_rule("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
