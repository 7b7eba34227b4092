"""POST /v1/completions: how does a bare prompt go on, whole and as a stream?"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.simulator import tokens
from gateway.simulator.bodies.generating import CompletionBody
from gateway.simulator.bodies.parsing import validate
from gateway.simulator.bodies.sampling import check_sampling
from gateway.simulator.content import prose, sql
from gateway.simulator.endpoints import logprobs
from gateway.simulator.endpoints.answers import fitted, limits_of
from gateway.simulator.endpoints.relay import gathered, relay
from gateway.simulator.engine import Output
from gateway.simulator.errors import Refusal, bad_request
from gateway.simulator.exchange import DONE, Exchange, sse
from gateway.simulator.pace import wall_seconds
from gateway.simulator.plan import plan
from gateway.simulator.service import Job, Service, full_usage, usage


async def completions(service: Service, exchange: Exchange, data: object) -> None:
    """Answer one prompt or several; choice `i` of prompt `p` has the index `p * n + i`."""
    body = validate(CompletionBody, data)
    service.check_model(exchange, body)
    given = _prompts(body)
    counts = [fitted(service, prompt, body.truncate_prompt_tokens) for prompt in given]
    prompts = [prompt if isinstance(prompt, str) else tokens.decode(prompt) for prompt in given]
    check_sampling(body, body.max_tokens)
    choices = body.n or 1
    service.engine.check_admission(choices * len(prompts))
    room = service.options.max_model_len
    plans = [
        plan(_say(service, prompt, variant), limits_of(body, body.max_tokens, room - count))
        for prompt, count in zip(prompts, counts, strict=True)
        for variant in range(choices)
    ]
    answer_id = exchange.new_id("cmpl", body.request_id)
    job = service.start(exchange, body, counts, plans)
    if body.stream:
        await relay(service, exchange, job, _Stream(service, body, prompts, counts, job, answer_id), comments=True)
        return
    created = wall_seconds()
    made = await gathered(service, exchange, job)
    answer = {
        "id": answer_id,
        "object": "text_completion",
        "created": created,
        "model": service.model,
        "choices": [_choice(body, prompts[index // choices], output) for index, output in made.items()],
        "service_tier": None,
        "system_fingerprint": service.fingerprint,
        "usage": full_usage(job.prompt_tokens, job.completion_tokens),
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }
    await exchange.json(answer)


def _prompts(body: CompletionBody) -> list[str | list[int]]:
    """The prompts, as texts or token ids.

    Raises:
        Refusal: 400 when there is none.
    """
    given = body.prompt
    if given is None or given == "":
        raise bad_request("Either prompt or prompt_embeds must be provided and non-empty.", "prompt", in_handler=False)
    if isinstance(given, str):
        return [given]
    if not given:
        raise bad_request("You must pass at least one prompt")
    ids = [item for item in given if isinstance(item, int)]
    found: list[str | list[int]] = [ids] if ids else [item for item in given if not isinstance(item, int)]
    if not all(found):
        raise bad_request("The decoder prompt cannot be empty")
    return found


def _say(service: Service, prompt: str, variant: int) -> str:
    said = sql.answer(prompt, prompt) if service.options.kind == "text2sql" else prose.answer(prompt, variant)
    return " " + said


def _choice(body: CompletionBody, prompt: str, output: Output) -> dict[str, object]:
    echoed = tokens.split(prompt) if body.echo else []
    pieces = [*echoed, *output.pieces]
    return {
        "index": output.index,
        "text": "".join(pieces),
        "logprobs": None if body.logprobs is None else logprobs.completion(pieces, body.logprobs, 0),
        "finish_reason": output.finish,
        "stop_reason": output.stop_reason,
        "token_ids": _ids(output.pieces) if body.return_token_ids else None,
        "prompt_logprobs": None,
        "prompt_token_ids": tokens.encode(prompt) if body.return_token_ids else None,
        "routed_experts": None,
    }


@dataclass(slots=True)
class _Stream:
    """The events of one streamed answer: no role comes first."""

    service: Service
    body: CompletionBody
    prompts: list[str]
    counts: list[int]
    job: Job
    answer_id: str
    created: int = field(default_factory=wall_seconds)
    made: dict[int, int] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)

    def events(self, output: Output) -> Iterator[bytes]:
        """One chunk per output; the first of a choice repeats the prompt if that was asked for."""
        index = output.index
        first = index not in self.made
        self.made[index] = self.made.get(index, 0) + len(output.pieces)
        echoed = tokens.split(self._prompt(index)) if first and self.body.echo else []
        pieces = [*echoed, *output.pieces]
        offset = self.offsets.get(index, 0)
        text = "".join(pieces)
        self.offsets[index] = offset + len(text)
        choice = {
            "index": index,
            "text": text,
            "logprobs": None if self.body.logprobs is None else logprobs.completion(pieces, self.body.logprobs, offset),
            "finish_reason": output.finish,
            "stop_reason": output.stop_reason,
            "prompt_token_ids": tokens.encode(self._prompt(index)) if first and self.body.return_token_ids else None,
            "token_ids": _ids(output.pieces) if self.body.return_token_ids else None,
        }
        chunk = {**self._head(), "choices": [choice]}
        if self._usage_wanted[1]:
            chunk["usage"] = usage(self.counts[index // (self.body.n or 1)], self.made[index])
        elif output.finish is not None and not self._usage_wanted[0]:
            chunk["system_fingerprint"] = self.service.fingerprint
        yield sse(chunk)

    def ending(self) -> Iterator[bytes]:
        """Usage, if it was asked for, and the end."""
        if self._usage_wanted[0]:
            counted = usage(self.job.prompt_tokens, sum(self.made.values()))
            yield sse({**self._head(), "choices": [], "usage": counted, "system_fingerprint": self.service.fingerprint})
        yield DONE

    def failed(self, error: Refusal) -> Iterator[bytes]:
        """An error in mid-stream does not spare the client the usual end."""
        yield error.in_band()
        yield DONE

    @property
    def _usage_wanted(self) -> tuple[bool, bool]:
        return (True, True) if self.service.options.force_usage else self.body.usage_wanted

    def _prompt(self, index: int) -> str:
        return self.prompts[index // (self.body.n or 1)]

    def _head(self) -> dict[str, object]:
        return {
            "id": self.answer_id,
            "object": "text_completion",
            "created": self.created,
            "model": self.service.model,
        }


def _ids(pieces: list[str]) -> list[int]:
    return [tokens.piece_id(piece) if piece else tokens.END_OF_TEXT for piece in pieces]
