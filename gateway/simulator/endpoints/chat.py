"""POST /v1/chat/completions: how does a chat answer look, whole and as a stream?"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.simulator import hermes, tokens
from gateway.simulator.bodies.generating import ChatBody, NamedChoice
from gateway.simulator.bodies.parsing import validate
from gateway.simulator.bodies.sampling import check_logprobs
from gateway.simulator.endpoints import logprobs
from gateway.simulator.endpoints.answers import Prepared, prepare
from gateway.simulator.endpoints.relay import gathered, relay
from gateway.simulator.engine import Output
from gateway.simulator.errors import Refusal
from gateway.simulator.exchange import DONE, Exchange, sse
from gateway.simulator.pace import wall_seconds
from gateway.simulator.service import Job, Service, full_usage, usage


async def chat(service: Service, exchange: Exchange, data: object) -> None:
    """Answer a conversation."""
    body = validate(ChatBody, data)
    service.check_model(exchange, body)
    service.engine.check_admission(body.n or 1)
    prepared = prepare(service, body)
    answer_id = exchange.new_id("chatcmpl", body.request_id)
    job = service.start(exchange, body, [prepared.prompt_tokens], prepared.plans)
    job.refused = check_logprobs(body.top_logprobs if body.logprobs else None)
    if body.stream:
        stream = _Stream(service, body, prepared, job, answer_id)
        await relay(service, exchange, job, stream, comments=True)
    else:
        await _whole(service, exchange, body, prepared, job, answer_id)


async def _whole(
    service: Service, exchange: Exchange, body: ChatBody, prepared: Prepared, job: Job, answer_id: str
) -> None:
    created = wall_seconds()
    choices = await gathered(service, exchange, job)
    await exchange.json(
        {
            "id": answer_id,
            "object": "chat.completion",
            "created": created,
            "model": service.model,
            "choices": [_choice(body, prepared, choices[index]) for index in choices],
            "service_tier": None,
            "system_fingerprint": service.fingerprint,
            "usage": full_usage(job.prompt_tokens, job.completion_tokens),
            "prompt_logprobs": None,
            "prompt_token_ids": tokens.encode(prepared.text) if body.return_token_ids else None,
            "prompt_text": prepared.text if body.return_prompt_text else None,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }
    )


def _choice(body: ChatBody, prepared: Prepared, output: Output) -> dict[str, object]:
    content, calls = hermes.read_whole(output.text) if prepared.may_call else (output.text, [])
    message: dict[str, object] = {
        "role": "assistant",
        "content": content or None if calls and body.tool_choice == "auto" else content,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
    }
    if calls:
        message["tool_calls"] = [call.as_message_part() for call in calls]
    message["reasoning"] = None
    return {
        "index": output.index,
        "message": message,
        "logprobs": logprobs.chat(output.pieces, body.top_logprobs or 0) if body.logprobs else None,
        "finish_reason": _finish(body, output.finish, called=bool(calls)),
        "stop_reason": output.stop_reason,
        "token_ids": _ids(output) if body.return_token_ids else None,
        "routed_experts": None,
    }


@dataclass(slots=True)
class _Stream:
    """The events of one streamed answer."""

    service: Service
    body: ChatBody
    prepared: Prepared
    job: Job
    answer_id: str
    created: int = field(default_factory=wall_seconds)
    made: dict[int, int] = field(default_factory=dict)
    readers: dict[int, hermes.Reader] = field(default_factory=dict)
    begun: bool = False

    def events(self, output: Output) -> Iterator[bytes]:
        """The events of one output; before the very first, each choice says its role."""
        if not self.begun:
            self.begun = True
            for index in range(self.body.n or 1):
                yield self._role(index)
        self.made[output.index] = self.made.get(output.index, 0) + len(output.pieces)
        deltas = self._deltas(output)
        for delta in deltas[:-1]:
            yield self._chunk(output, delta, last=False)
        if deltas:
            yield self._chunk(output, deltas[-1], last=True)

    def ending(self) -> Iterator[bytes]:
        """Usage, if it was asked for, and the end."""
        if self._usage_wanted[0]:
            yield sse(
                {
                    **self._head(),
                    "choices": [],
                    "usage": usage(self.job.prompt_tokens, sum(self.made.values())),
                    "system_fingerprint": self.service.fingerprint,
                }
            )
        yield DONE

    def failed(self, error: Refusal) -> Iterator[bytes]:
        """An error in mid-stream does not spare the client the usual end."""
        yield error.in_band()
        yield DONE

    @property
    def _usage_wanted(self) -> tuple[bool, bool]:
        return (True, True) if self.service.options.force_usage else self.body.usage_wanted

    def _head(self) -> dict[str, object]:
        return {
            "id": self.answer_id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.service.model,
        }

    def _role(self, index: int) -> bytes:
        delta = {"role": "assistant", "content": ""}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        chunk = {**self._head(), "choices": [choice], **self._running_usage(0)}
        chunk["prompt_token_ids"] = tokens.encode(self.prepared.text) if self.body.return_token_ids else None
        chunk["prompt_text"] = self.prepared.text if self.body.return_prompt_text else None
        return sse(chunk)

    def _deltas(self, output: Output) -> list[dict[str, object]]:
        if not self.prepared.may_call:
            return [{"content": output.text}]
        reader = self.readers.setdefault(output.index, hermes.Reader())
        deltas = [_as_json(delta) for delta in reader.feed(output.text)]
        return deltas or ([{}] if output.finish is not None else [])

    def _chunk(self, output: Output, delta: dict[str, object], *, last: bool) -> bytes:
        finish = output.finish if last else None
        choice: dict[str, object] = {
            "index": output.index,
            "delta": delta,
            "logprobs": logprobs.chat(output.pieces, self.body.top_logprobs or 0) if self.body.logprobs else None,
            "finish_reason": None,
        }
        if finish is not None:
            reader = self.readers.get(output.index)
            choice["finish_reason"] = _finish(self.body, finish, called=reader is not None and reader.calls > 0)
            choice["stop_reason"] = output.stop_reason
        choice["token_ids"] = _ids(output) if self.body.return_token_ids else None
        chunk = {**self._head(), "choices": [choice], **self._running_usage(self.made[output.index])}
        if finish is not None and not self._usage_wanted[0]:
            chunk["system_fingerprint"] = self.service.fingerprint
        return sse(chunk)

    def _running_usage(self, completion_tokens: int) -> dict[str, object]:
        if not self._usage_wanted[1]:
            return {}
        return {"usage": {**usage(self.job.prompt_tokens, completion_tokens), "completion_tokens_details": None}}


def _as_json(delta: hermes.Delta) -> dict[str, object]:
    if delta.content:
        return {"content": delta.content}
    if delta.name is not None:
        function = {"name": delta.name}
        call = {"id": hermes.new_call_id(), "type": "function", "index": delta.index, "function": function}
        return {"content": None, "tool_calls": [call]}
    return {"content": None, "tool_calls": [{"index": delta.index, "function": {"arguments": delta.arguments}}]}


def _finish(body: ChatBody, finish: str | None, *, called: bool) -> str | None:
    """A call ends with `tool_calls`, but with `stop` where the client named the tool."""
    if called and finish == "stop" and not isinstance(body.tool_choice, NamedChoice):
        return "tool_calls"
    return finish


def _ids(output: Output) -> list[int]:
    return [tokens.piece_id(piece) if piece else tokens.END_OF_TEXT for piece in output.pieces]
