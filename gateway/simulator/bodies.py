"""What may a request say? The fields that decide, coerced and refused as vLLM's own pydantic models do."""

import json  # noqa: TID251 -- vLLM's server parses with it: NaN passes, duplicate keys keep the last, nesting has a limit
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from gateway.simulator.errors import Refusal, Unreadable, bad_request, invalid_body

_MAX_REPORTED = 10
_MAX_INPUT = 200
_MAX_CHOICES = 16_384
_MAX_LOGPROBS = 20
_HOTTEST = 2
_INT64 = 2**63


def _missing(title: str, data: object, names: Sequence[str]) -> ValidationError:
    """What pydantic says when none of several models fits: each field that one of them would need."""
    details = [InitErrorDetails(type="missing", loc=(name,), input=data) for name in names]
    return ValidationError.from_exception_data(title, details)


class Body(BaseModel):
    """Fields that nobody reads are accepted and ignored."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    cache_salt: str | None = Field(None, max_length=1024)

    @model_validator(mode="after")
    def _salt_is_not_empty(self) -> Self:
        if self.cache_salt == "":
            raise _broken_rule("Parameter 'cache_salt' must be a non-empty string if provided.", "cache_salt")
        return self


AnyBody = TypeVar("AnyBody", bound=BaseModel)


def parse_json(content_type: str | None, data: bytes) -> object:
    """The body as JSON.

    Raises:
        Refusal: 400 for another content type or for what is not JSON.
        Unreadable: the parser gave up.
    """
    if (content_type or "").lower().split(";", 1)[0] != "application/json":
        raise _listed(["Unsupported Media Type: Only 'application/json' is allowed"], None)
    if not data:
        return None
    try:
        parsed: object = json.loads(data)
    except json.JSONDecodeError as error:
        details = {
            "type": "json_invalid",
            "loc": f"body.{error.pos}",
            "msg": "JSON decode error",
            "input": "<dict of 0 items>",
            "ctx": {"error": error.msg},
        }
        raise _listed([details], f"body.{error.pos}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, too many digits, too deep
        raise Unreadable from error
    return parsed


def _broken_rule(message: str, param: str) -> Refusal:
    """A rule about several fields: not pydantic's to word, and raised before the handler runs."""
    return bad_request(message, param, in_handler=False)


def validate(kind: type[AnyBody], data: object) -> AnyBody:
    """The body's fields.

    Raises:
        Refusal: 400 with each wrong field and pydantic's word for it.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _refused(error) from error


def _refused(error: ValidationError) -> Refusal:
    details = []
    param = None
    for found in error.errors(include_url=False):
        loc = ".".join(["body", *(str(part) for part in found["loc"] if _means_something(str(part)))])
        param = param or loc
        details.append({**found, "loc": loc, "input": _summary(found["input"])})
    return _listed(details, param)


def _listed(details: list[Any], param: str | None) -> Refusal:
    count = len(details)
    noun = "error" if count == 1 else "errors"
    lines = [f"{count} validation {noun}:", *(f"  {detail}" for detail in details[:_MAX_REPORTED])]
    if count > _MAX_REPORTED:
        lines.append(f"  ...and {count - _MAX_REPORTED} more {noun}")
    return invalid_body("\n".join(lines), param)


def _means_something(part: str) -> bool:
    """Pydantic names the branch of a union in the place of an error; a client has no use for it."""
    return not any(sign in part for sign in "[](){}") and part not in ("str", "int", "float", "bool", "dict", "list")


def _summary(value: object) -> object:
    if isinstance(value, dict | list):
        return f"<{type(value).__name__} of {len(value)} items>"
    text = str(value)
    return text if len(text) <= _MAX_INPUT else text[:_MAX_INPUT] + "...[truncated]"


class StreamOptions(Body):
    """What a stream says about usage."""

    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


class Sampling(Body):
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
            raise _broken_rule("Stream options can only be defined when `stream=True`.", "stream_options")
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
        raise _broken_rule(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.", "tools"
        )
    if choice in (None, "none"):
        return
    if tools is None:
        raise _broken_rule("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if isinstance(choice, dict):
        _check_named(choice, tools)
    elif choice not in ("auto", "required"):
        raise _broken_rule(
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" are supported.',
            "tool_choice",
        )


def _check_named(choice: Mapping[str, Any], tools: Any) -> None:  # noqa: ANN401 -- not validated yet
    usage = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'
    function = choice.get("function")
    if not isinstance(function, dict):
        raise _broken_rule(
            f"Invalid value for `function`: `{function}` in `tool_choice`! {usage}", "tool_choice.function"
        )
    if not function.get("name"):
        raise _broken_rule(
            f"Expected field `name` in `function` in `tool_choice`! {usage}", "tool_choice.function.name"
        )
    names = [tool.get("function", {}).get("name") for tool in tools if isinstance(tool, dict)]
    if function["name"] not in names:
        raise _broken_rule(
            "The tool specified in `tool_choice` does not match any of the specified `tools`", "tool_choice"
        )


def _check_logprobs(data: Mapping[str, Any]) -> None:
    top = data.get("top_logprobs")
    if isinstance(top, int) and top < -1:
        raise _broken_rule("`top_logprobs` must be a positive value or -1.", "top_logprobs")
    if top and not data.get("logprobs"):
        raise _broken_rule("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")


class EmbeddingBody(Body):
    """POST /v1/embeddings."""

    input: list[int] | list[list[int]] | str | list[str]
    encoding_format: Literal["float", "base64", "bytes", "bytes_only"] = "float"
    dimensions: int | None = None
    truncate_prompt_tokens: int | None = Field(None, ge=-1)
    priority: int = 0


class RerankBody(Body):
    """POST /rerank, /v1/rerank, /v2/rerank. Documents are texts; their object form is refused."""

    query: str
    documents: str | list[str]
    top_n: int = Field(0, ge=0)
    truncate_prompt_tokens: int | None = Field(None, ge=-1)
    use_activation: bool | None = None
    priority: int = 0


_PAIRS = (("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2"))


class ScoreBody(Body):
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
        raise _missing("ScoreBody", data, [name for pair in _PAIRS for name in pair if name not in data])


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
            raise _missing("TokenizeBody", data, ["prompt", "messages"])
        return read(data)


class DetokenizeBody(Body):
    """POST /detokenize."""

    tokens: list[Annotated[int, Field(ge=0)]]


class ResponsesTool(Body):
    """A tool of /v1/responses: the function's fields stand beside its type."""

    type: str = "function"
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ResponsesBody(Body):
    """POST /v1/responses."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: int | None = None
    stream: bool | None = False
    temperature: float | None = None
    top_p: float | None = None
    tools: list[ResponsesTool] = []
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


class CountBody(Body):
    """POST /v1/messages/count_tokens."""

    model: str
    messages: list[AnthropicMessage]
    system: str | list[dict[str, Any]] | None = None
    tools: list[AnthropicTool] | None = None
    tool_choice: AnthropicChoice | None = None


class MessagesBody(CountBody):
    """POST /v1/messages."""

    max_tokens: int = Field(gt=0)
    stop_sequences: list[str] | None = None
    stream: bool | None = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    ignore_eos: bool = False


Rule = tuple[bool, str, str | None, object]
"""Whether it is broken, what to say, which field to blame, and the field's value if the message repeats it."""


def check_sampling(body: Sampling, max_tokens: int | None) -> None:
    """The rules that vLLM checks after the fields have been read.

    Raises:
        Refusal: 400 `BadRequestError` naming the field.
    """
    for broken, message, param, value in [*_count_rules(body, max_tokens), *_range_rules(body)]:
        if broken:
            raise bad_request(message, param, value)


def check_logprobs(wanted: int | None) -> Refusal | None:
    """What only the engine refuses: in a stream it is the first event, after the 200."""
    if wanted is None or wanted <= _MAX_LOGPROBS:
        return None
    message = f"Requested sample logprobs of {wanted}, which is greater than max allowed: {_MAX_LOGPROBS}"
    return bad_request(message, "logprobs", wanted)


def _count_rules(body: Sampling, max_tokens: int | None) -> list[Rule]:
    n = 1 if body.n is None else body.n
    most = (
        f"n must be at most {_MAX_CHOICES}, got {n}. "
        "To increase this limit, set the VLLM_MAX_N_SEQUENCES environment variable."
    )
    rules: list[Rule] = [
        (n < 1, f"n must be at least 1, got {n}.", None, None),
        (n > _MAX_CHOICES, most, None, None),
        (body.min_tokens < 0, f"min_tokens must be greater than or equal to 0, got {body.min_tokens}.", None, None),
        (any(not stop for stop in body.stops), "stop cannot contain an empty string.", None, None),
        (body.temperature == 0 and n > 1, f"n must be 1 when using greedy sampling, got {n}.", None, None),
    ]
    if max_tokens is not None:
        rules.append((max_tokens < 1, f"max_tokens must be at least 1, got {max_tokens}.", "max_tokens", max_tokens))
    return rules


def _range_rules(body: Sampling) -> list[Rule]:
    """Bounds of the numbers; an absent field breaks none."""
    rules: list[Rule] = []
    if (heat := body.temperature) is not None:
        rules += [
            (not math.isfinite(heat), f"temperature must be a finite number, got {heat}.", "temperature", heat),
            (heat < 0, f"temperature must be non-negative, got {heat}.", "temperature", heat),
            (heat > _HOTTEST, f"temperature must be in [0, 2], got {heat}.", "temperature", heat),
        ]
    if (top_p := body.top_p) is not None:
        rules.append((not 0 < top_p <= 1, f"top_p must be in (0, 1], got {top_p}.", "top_p", top_p))
    if (top_k := body.top_k) is not None:
        rules.append((top_k < -1, f"top_k must be 0 (disable), or at least 1, got {top_k}.", None, None))
    if (min_p := body.min_p) is not None:
        rules.append((not 0 <= min_p <= 1, f"min_p must be in [0, 1], got {min_p}.", None, None))
    for name in ("presence_penalty", "frequency_penalty"):
        if (penalty := getattr(body, name)) is not None:
            rules.append(
                (not -_HOTTEST <= penalty <= _HOTTEST, f"{name} must be in [-2, 2], got {penalty}.", None, None)
            )
    if (repetition := body.repetition_penalty) is not None:
        message = f"repetition_penalty must be greater than zero, got {repetition}."
        rules.append((repetition <= 0, message, None, None))
    return rules
