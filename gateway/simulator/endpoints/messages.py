"""POST /v1/messages and its token count: how does a chat answer look in Anthropic's dialect?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.simulator import hermes, prompt, tokens
from gateway.simulator.bodies.dialects import AnthropicMessage, CountBody, MessagesBody
from gateway.simulator.bodies.generating import ChatBody
from gateway.simulator.bodies.parsing import fault_of_salt, validate
from gateway.simulator.endpoints.answers import Prepared, prepare
from gateway.simulator.endpoints.relay import gathered, relay
from gateway.simulator.engine import Output
from gateway.simulator.errors import Refusal, bad_request
from gateway.simulator.exchange import Exchange, typed_sse
from gateway.simulator.service import Job, Service

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


async def messages(service: Service, exchange: Exchange, data: object) -> None:
    """Answer a conversation. There is no `[DONE]`: a stream ends with `message_stop`."""
    body = validate(MessagesBody, data)
    service.check_model(exchange, body)
    service.engine.check_admission(1)
    if fault := fault_of_salt(body.cache_salt):
        raise bad_request(fault, "cache_salt")
    asked = _as_chat(body)
    asked |= {name: getattr(body, name) for name in ("stream", "temperature", "top_p", "top_k", "ignore_eos")}
    asked |= {"max_completion_tokens": body.max_tokens, "stop": body.stop_sequences}
    chat = validate(ChatBody, asked)
    prepared = prepare(service, chat)
    answer_id = exchange.new_id("chatcmpl")
    job = service.start(exchange, chat, [prepared.prompt_tokens], prepared.plans)
    if body.stream:
        await relay(service, exchange, job, _Stream(service, prepared, job, answer_id))
        return
    made = await gathered(service, exchange, job)
    await exchange.json(_whole(service, prepared, job, answer_id, made[0]))


async def count_tokens(service: Service, exchange: Exchange, data: object) -> None:
    """Answer with the length of a conversation that is not run."""
    body = validate(CountBody, data)
    service.check_model(exchange, body)
    chat = validate(ChatBody, _as_chat(body))
    tools = [tool.model_dump(exclude_none=True) for tool in chat.tools or ()]
    turns = [{"role": turn.role, **(turn.model_extra or {})} for turn in chat.messages]
    count = tokens.count(prompt.render(turns, tools, service.model))
    await exchange.json({"input_tokens": count, "context_management": {"original_input_tokens": count}})


def _as_chat(body: CountBody) -> dict[str, Any]:
    """The same request in the dialect of /v1/chat/completions."""
    turns: list[dict[str, Any]] = []
    if body.system:
        turns.append({"role": "system", "content": _text(body.system)})
    for message in body.messages:
        turns += _turns(message)
    asked: dict[str, Any] = {"model": body.model, "messages": turns}
    if body.tools:
        asked["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
            }
            for tool in body.tools
        ]
        choice = body.tool_choice
        if choice is not None and choice.type == "tool":
            asked["tool_choice"] = {"type": "function", "function": {"name": choice.name or ""}}
        elif choice is not None:
            asked["tool_choice"] = _CHOICES[choice.type]
    return asked


def _turns(message: AnthropicMessage) -> list[dict[str, Any]]:
    """One turn, and a turn of its own for each tool result in it."""
    if isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    results = [
        {"role": "tool", "tool_call_id": block.get("tool_use_id", ""), "content": _text(block.get("content") or "")}
        for block in message.content
        if block.get("type") == "tool_result"
    ]
    parts = [_part(block) for block in message.content if block.get("type") in ("text", "image")]
    calls = [
        {"type": "function", "function": {"name": block.get("name"), "arguments": block.get("input")}}
        for block in message.content
        if block.get("type") == "tool_use"
    ]
    turn: dict[str, Any] = {"role": message.role, "content": parts}
    if calls:
        turn["tool_calls"] = calls
    return [*results, *([turn] if parts or calls or not results else [])]


def _part(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] == "text":
        return {"type": "text", "text": block.get("text", "")}
    return {"type": "image_url", "image_url": {"url": str(block.get("source"))}}


def _text(content: str | Sequence[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(block.get("text", "")) for block in content)


def _whole(service: Service, prepared: Prepared, job: Job, answer_id: str, output: Output) -> dict[str, object]:
    content, calls = hermes.read_whole(output.text) if prepared.may_call else (output.text, [])
    blocks: list[dict[str, object]] = [{"type": "text", "text": content}] if content or not calls else []
    blocks += [
        {"type": "tool_use", "id": hermes.new_call_id(), "name": call.name, "input": orjson.loads(call.arguments)}
        for call in calls
    ]
    reason, sequence = _stop(output, called=bool(calls))
    answer: dict[str, object] = {
        "id": answer_id,
        "type": "message",
        "role": "assistant",
        "content": blocks,
        "model": service.model,
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": _usage(job, job.completion_tokens),
    }
    return {name: value for name, value in answer.items() if value is not None}


def _stop(output: Output, *, called: bool) -> tuple[str | None, str | None]:
    """The reason in Anthropic's words, and the stop sequence that was met; an abort has no word."""
    if output.finish == "length":
        return "max_tokens", None
    if output.finish != "stop":
        return None, None
    if called:
        return "tool_use", None
    if isinstance(output.stop_reason, str):
        return "stop_sequence", output.stop_reason
    return "end_turn", None


def _usage(job: Job, made: int) -> dict[str, int]:
    return {"input_tokens": job.prompt_tokens, "output_tokens": made}


@dataclass(slots=True)
class _Stream:
    """The events of one streamed answer: blocks that begin, grow and end, one after the other."""

    service: Service
    prepared: Prepared
    job: Job
    answer_id: str
    reader: hermes.Reader = field(default_factory=hermes.Reader)
    begun: bool = False
    block: str | None = None
    index: int = 0
    made: int = 0
    last: Output | None = None

    def events(self, output: Output) -> Iterator[bytes]:
        """The start of the message with the first output, then what each output adds."""
        if not self.begun:
            self.begun = True
            yield self._start_of_message()
        self.made += len(output.pieces)
        self.last = output
        deltas = self.reader.feed(output.text) if self.prepared.may_call else [hermes.Delta(output.text)]
        for delta in deltas:
            if delta.name is not None:
                empty = {"type": "tool_use", "id": hermes.new_call_id(), "name": delta.name, "input": {}}
                yield from self._start_of_block("tool_use", empty)
            elif delta.arguments:
                yield self._delta({"type": "input_json_delta", "partial_json": delta.arguments})
            elif delta.content:
                if self.block != "text":
                    yield from self._start_of_block("text", {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": delta.content})

    def ending(self) -> Iterator[bytes]:
        """The reason and the usage, and the end."""
        yield from self._end_of_block()
        reason, sequence = _stop(self.last, called=self.reader.calls > 0) if self.last else (None, None)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        yield _event("message_delta", delta=delta, usage=_usage(self.job, self.made))
        yield _event("message_stop")

    def failed(self, error: Refusal) -> Iterator[bytes]:
        """An error event, and no `message_stop`."""
        yield _event("error", error={"type": "internal_error", "message": error.message})

    def _start_of_message(self) -> bytes:
        message: dict[str, object] = {
            "id": self.answer_id,
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": self.service.model,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(self.job, 0),
        }
        return _event("message_start", message=message)

    def _start_of_block(self, kind: str, block: Mapping[str, object]) -> Iterator[bytes]:
        yield from self._end_of_block()
        self.block = kind
        yield _event("content_block_start", content_block=block, index=self.index)

    def _end_of_block(self) -> Iterator[bytes]:
        if self.block is not None:
            yield _event("content_block_stop", index=self.index)
            self.block = None
            self.index += 1

    def _delta(self, delta: dict[str, str]) -> bytes:
        return _event("content_block_delta", delta=delta, index=self.index)


def _event(kind: str, **content: object) -> bytes:
    return typed_sse(kind, {"type": kind, **content})
