"""POST /v1/responses: how does an answer look in OpenAI's newer dialect, whole and as typed events?"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from gateway.simulator import hermes
from gateway.simulator.bodies.dialects import ResponsesBody, ResponsesTool
from gateway.simulator.bodies.generating import ChatBody
from gateway.simulator.bodies.parsing import validate
from gateway.simulator.endpoints.answers import Prepared, prepare
from gateway.simulator.endpoints.relay import gathered, relay
from gateway.simulator.engine import Output
from gateway.simulator.errors import Refusal, unknown_response, unstorable
from gateway.simulator.exchange import Exchange, typed_sse
from gateway.simulator.pace import wall_seconds
from gateway.simulator.service import Job, Service

_TEMPERATURE, _TOP_P = 0.7, 0.8
"""What the model's own generation_config.json says where the request says nothing."""

_STATUS = {"stop": "completed", "length": "incomplete", "abort": "cancelled"}

Item = dict[str, Any]


async def responses(service: Service, exchange: Exchange, data: object) -> None:
    """Answer an input. There is no `[DONE]`: a stream ends with `response.completed`, whatever its status."""
    body = validate(ResponsesBody, data)
    service.check_model(exchange, body)
    if body.background:
        raise unstorable("background")
    if body.previous_response_id is not None:
        raise unknown_response(body.previous_response_id)
    service.engine.check_admission(1)
    asked = _as_chat(body)
    if body.tools and not service.options.tool_parser:
        asked["tool_choice"] = "none"  # here they are not refused: nobody reads the calls, and none can be required
    chat = validate(ChatBody, asked)
    prepared = prepare(service, chat, "max_output_tokens")
    room = service.options.max_model_len - prepared.prompt_tokens
    frame = _Frame(service, body, exchange.fresh_id("resp", body.request_id), room)
    job = service.start(exchange, chat, [prepared.prompt_tokens], prepared.plans)
    if body.stream:
        await relay(service, exchange, job, _Stream(frame, prepared, job))
        return
    output = (await gathered(service, exchange, job))[0]
    await exchange.json(frame.response(_items(prepared, output), output.finish, job))


async def retrieve(_service: Service, exchange: Exchange) -> None:
    """No response is kept."""
    raise unknown_response(exchange.scope["path"].rpartition("/")[2])


def _as_chat(body: ResponsesBody) -> dict[str, Any]:
    """The same request in the dialect of /v1/chat/completions."""
    given = [{"role": "user", "content": body.input}] if isinstance(body.input, str) else body.input
    turns = [{"role": "system", "content": body.instructions}] if body.instructions else []
    asked: dict[str, Any] = {
        "messages": [*turns, *map(_turn, given)],
        "max_tokens": body.max_output_tokens,
        "stream": body.stream,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "priority": body.priority,
        "ignore_eos": body.ignore_eos,
    }
    if body.tools:
        asked["tools"] = [{"type": "function", "function": _function(tool)} for tool in body.tools]
        asked["tool_choice"] = _choice(body.tool_choice)
    return asked


def _turn(item: Item) -> Item:
    """One item of the input; a tool's output is a turn of the tool."""
    if item.get("type") == "function_call_output":
        return {"role": "tool", "content": str(item.get("output", ""))}
    if item.get("type") == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}
    content = item.get("content")
    if isinstance(content, list):
        content = [_part(part) for part in content]
    return {"role": item.get("role", "user"), "content": content}


def _part(part: Any) -> Any:  # noqa: ANN401 -- what is no part is refused where a chat's would be
    if isinstance(part, dict) and part.get("type") in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part.get("text", "")}
    return part


def _function(tool: ResponsesTool) -> Item:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _choice(choice: str | Item | None) -> str | Item:
    if isinstance(choice, dict):
        return {"type": "function", "function": {"name": choice.get("name", "")}}
    return choice or "auto"


def _items(prepared: Prepared, output: Output) -> list[Item]:
    """The answer's items; a call that was cut short is text like any other."""
    content, calls = hermes.read_whole(output.text) if prepared.may_call and output.finish == "stop" else ("", [])
    if calls:
        text = [_message(f"msg_{token_hex(8)}", content)] if content else []
        return [*text, *(_call(f"fc_{token_hex(8)}", call.name, call.arguments) for call in calls)]
    return [_message(f"msg_{token_hex(8)}", output.text)]


def _message(item_id: str, text: str | None) -> Item:
    """A message: complete with its text, or just begun without."""
    content: list[Item] = (
        [] if text is None else [{"annotations": [], "text": text, "type": "output_text", "logprobs": None}]
    )
    status = "in_progress" if text is None else "completed"
    return {
        "id": item_id,
        "content": content,
        "role": "assistant",
        "status": status,
        "type": "message",
        "phase": None,
    }


def _call(item_id: str, name: str, arguments: str | None, call_id: str | None = None) -> Item:
    """A function call: complete with its arguments, or just begun without."""
    return {
        "arguments": arguments or "",
        "call_id": call_id or hermes.new_call_id(),
        "name": name,
        "type": "function_call",
        "id": item_id,
        "async": None,
        "caller": None,
        "namespace": None,
        "status": "in_progress" if arguments is None else "completed",
    }


@dataclass(slots=True)
class _Frame:
    """What stands around the items, at the beginning and at the end."""

    service: Service
    body: ResponsesBody
    response_id: str
    room: int
    created: int = field(default_factory=wall_seconds)

    def response(self, items: list[Item], finish: str | None = None, job: Job | None = None) -> Item:
        """The whole response; without a finish it is in progress."""
        body = self.body
        reason = {"reason": "max_output_tokens"} if finish == "length" else None
        most = self.room if body.max_output_tokens is None else min(body.max_output_tokens, self.room)
        return {
            "id": self.response_id,
            "created_at": self.created,
            "incomplete_details": reason,
            "instructions": body.instructions,
            "metadata": body.metadata,
            "model": self.service.model,
            "object": "response",
            "output": items,
            "parallel_tool_calls": body.parallel_tool_calls,
            "temperature": _TEMPERATURE if body.temperature is None else body.temperature,
            "tool_choice": (body.tool_choice or "auto") if body.tools else "none",
            "tools": [_listed(tool) for tool in body.tools],
            "top_p": _TOP_P if body.top_p is None else body.top_p,
            "background": False,
            "max_output_tokens": most,
            "max_tool_calls": None,
            "previous_response_id": None,
            "prompt": None,
            "reasoning": None,
            "service_tier": "auto",
            "status": "in_progress" if finish is None else _STATUS[finish],
            "text": None,
            "top_logprobs": None,
            "truncation": "disabled",
            "usage": _usage(job) if job else None,
            "user": body.user,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "input_messages": None,
            "output_messages": None,
        }


def _listed(tool: ResponsesTool) -> Item:
    return {
        "name": tool.name,
        "parameters": tool.parameters,
        "strict": tool.strict,
        "type": "function",
        "allowed_callers": None,
        "async": None,
        "defer_loading": None,
        "description": tool.description,
        "output_schema": None,
    }


def _usage(job: Job) -> Item:
    made = job.completion_tokens
    return {
        "input_tokens": job.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": 0,
            "cache_write_tokens": 0,
            "input_tokens_per_turn": [],
            "cached_tokens_per_turn": [],
        },
        "output_tokens": made,
        "output_tokens_details": {
            "reasoning_tokens": 0,
            "tool_output_tokens": 0,
            "output_tokens_per_turn": [],
            "tool_output_tokens_per_turn": [],
        },
        "total_tokens": job.prompt_tokens + made,
    }


@dataclass(slots=True)
class _Stream:
    """The events of one streamed answer, numbered from 0."""

    frame: _Frame
    prepared: Prepared
    job: Job
    reader: hermes.Reader = field(default_factory=hermes.Reader)
    number: int = 0
    items: list[Item] = field(default_factory=list)
    kind: str | None = None
    item_id: str = ""
    call_id: str = ""
    name: str = ""
    grown: str = ""
    finish: str | None = None

    def events(self, output: Output) -> Iterator[bytes]:
        """The beginning of the response with the first output, then what each output adds."""
        if not self.number:
            yield self._event("response.created", response=self.frame.response([]))
            yield self._event("response.in_progress", response=self.frame.response([]))
        self.finish = output.finish
        deltas = self.reader.feed(output.text) if self.prepared.may_call else [hermes.Delta(output.text)]
        for delta in deltas:
            if delta.name is not None:
                yield from self._begin_call(delta.name)
            elif delta.arguments:
                yield from self._grow("response.function_call_arguments.delta", delta.arguments)
            elif delta.content:
                if self.kind != "message":
                    yield from self._begin_message()
                yield from self._grow("response.output_text.delta", delta.content)

    def ending(self) -> Iterator[bytes]:
        """The end of the last item, and of the response."""
        yield from self._end_item()
        yield self._event("response.completed", response=self.frame.response(self.items, self.finish, self.job))

    def failed(self, _error: Refusal) -> None:
        """This dialect has no word for an engine that died: vLLM drops the connection."""
        return

    def _begin_message(self) -> Iterator[bytes]:
        yield from self._end_item()
        self.kind, self.item_id = "message", f"msg_{token_hex(8)}"
        yield self._event("response.output_item.added", item=_message(self.item_id, None), output_index=self._index)
        part = {"annotations": [], "text": "", "type": "output_text", "logprobs": []}
        yield self._event("response.content_part.added", **self._place(), part=part)

    def _begin_call(self, name: str) -> Iterator[bytes]:
        yield from self._end_item()
        self.kind, self.item_id = "call", f"fc_{token_hex(8)}"
        self.name, self.call_id = name, hermes.new_call_id()
        item = _call(self.item_id, name, None, self.call_id)
        yield self._event("response.output_item.added", item=item, output_index=self._index)

    def _grow(self, kind: str, text: str) -> Iterator[bytes]:
        self.grown += text
        logprobs: Item = {"logprobs": []} if self.kind == "message" else {}
        yield self._event(kind, **self._place(), delta=text, **logprobs)

    def _end_item(self) -> Iterator[bytes]:
        if self.kind is None:
            return
        if self.kind == "message":
            item = _message(self.item_id, self.grown)
            yield self._event("response.output_text.done", **self._place(), text=self.grown, logprobs=[])
            yield self._event("response.content_part.done", **self._place(), part=item["content"][0])
        else:
            item = _call(self.item_id, self.name, self.grown, self.call_id)
            done = {"arguments": self.grown, "name": self.name}
            yield self._event("response.function_call_arguments.done", **self._place(), **done)
        yield self._event("response.output_item.done", item=item, output_index=self._index)
        self.items.append(item)
        self.kind, self.grown = None, ""

    @property
    def _index(self) -> int:
        return len(self.items)

    def _place(self) -> Item:
        """Where in the response an event belongs; only text has parts."""
        place: Item = {"item_id": self.item_id, "output_index": self._index}
        return {"content_index": 0, **place} if self.kind == "message" else place

    def _event(self, kind: str, **content: Any) -> bytes:  # noqa: ANN401 -- the fields of an event
        numbered = {**content, "sequence_number": self.number, "type": kind}
        self.number += 1
        return typed_sse(kind, dict(sorted(numbered.items())))
