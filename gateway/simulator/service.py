"""What does every endpoint need? The server's settings and its engine, and the steps that all of them share."""

from collections.abc import Sequence as Rows
from dataclasses import dataclass, field

from gateway.simulator import prompt, tokens
from gateway.simulator.argv import Options
from gateway.simulator.bodies.generating import Sampling
from gateway.simulator.bodies.parsing import Body
from gateway.simulator.engine import ONLY_AT_THE_END, Engine, Outbox, Sequence
from gateway.simulator.errors import Refusal, wrong_model, wrong_pooling_model
from gateway.simulator.exchange import ClientGone, Exchange
from gateway.simulator.ledger import Ledger
from gateway.simulator.metrics import Metrics
from gateway.simulator.plan import NOTHING, Plan

CHARACTERS_PER_TOKEN = 13
"""No token of the real tokenizer is longer on average over a prompt: a text beyond this many is refused uncounted."""


@dataclass(slots=True)
class Job:
    """A request that the engine works on."""

    sequences: list[Sequence]
    outbox: Outbox
    prompt_tokens: int
    refused: Refusal | None = None

    def check(self) -> None:
        """Notice what the engine did not like about the request.

        Raises:
            Refusal: so it is.
        """
        if self.refused is not None:
            raise self.refused

    @property
    def completion_tokens(self) -> int:
        """Tokens made so far, all sequences together."""
        return sum(sequence.made for sequence in self.sequences)


@dataclass(slots=True)
class Service:
    """One server."""

    options: Options
    engine: Engine
    ledger: Ledger
    metrics: Metrics
    load: int = 0
    fingerprint: str = field(default="vllm-0.32.0-5e1f0a7b")

    @property
    def model(self) -> str:
        """The name that answers carry: the first one served, whichever alias was asked for."""
        return self.options.served[0]

    def check_model(self, exchange: Exchange, body: Body) -> None:
        """Note the model in the ledger; an absent or empty name is served, too.

        Raises:
            Refusal: 404 for a name that is not served.
        """
        exchange.entry.model = body.model
        if body.model and body.model not in self.options.served:
            if self.options.pooling:
                raise wrong_pooling_model(body.model)
            raise wrong_model(body.model, self.options.served)

    def tokens_of(self, text: str) -> list[str]:
        """A text's pieces.

        Raises:
            Refusal: 400 when they do not fit the context.
        """
        limit = self.options.max_model_len
        if len(text) > limit * CHARACTERS_PER_TOKEN:
            raise prompt.too_many_characters(limit, len(text), CHARACTERS_PER_TOKEN)
        pieces = tokens.split(text)
        self.check_length(len(pieces))
        return pieces

    def check_length(self, count: int) -> None:
        """Whether a prompt fits the context.

        Raises:
            Refusal: 400 when it does not.
        """
        if count > self.options.max_model_len:
            raise prompt.too_long(self.options.max_model_len, count)

    def start(self, exchange: Exchange, body: Sampling, prompts: Rows[int], plans: Rows[Plan]) -> Job:
        """Hand sequences to the engine: `plans` holds the choices of the first prompt, then those of the next.

        Raises:
            Refusal: 503 or 500 as the engine says.
        """
        interval = max(self.options.stream_interval, body.stream_interval or 1) if body.stream else ONLY_AT_THE_END
        outbox = Outbox(len(plans))
        each = len(plans) // len(prompts)
        sequences = [
            Sequence(plan, prompts[i // each], outbox, i, body.priority, interval, exchange.orders)
            for i, plan in enumerate(plans)
        ]
        return self._submit(exchange, sequences, outbox, sum(prompts))

    def start_pooling(self, exchange: Exchange, prompts: Rows[int], priority: int) -> Job:
        """Hand texts to the engine that only have to be read.

        Raises:
            Refusal: 503 or 500 as the engine says.
        """
        outbox = Outbox(len(prompts))
        sequences = [
            Sequence(NOTHING, count, outbox, i, priority, orders=exchange.orders) for i, count in enumerate(prompts)
        ]
        return self._submit(exchange, sequences, outbox, sum(prompts))

    def leave(self, job: Job) -> None:
        """The client has gone: stop its sequences, and let the endpoint know."""
        self.engine.abort(job.sequences)
        job.outbox.fail(ClientGone())

    def _submit(self, exchange: Exchange, sequences: list[Sequence], outbox: Outbox, prompt_tokens: int) -> Job:
        exchange.entry.prompt_tokens = prompt_tokens
        self.engine.submit(sequences)
        job = Job(sequences, outbox, prompt_tokens)
        exchange.tokens_made = lambda: job.completion_tokens
        exchange.abandon = lambda: self.engine.abort(job.sequences)
        return job


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, object]:
    """The three numbers of a stream's usage, in vLLM's order."""
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
    }


def full_usage(prompt_tokens: int, completion_tokens: int) -> dict[str, object]:
    """The usage of an answer that is not streamed, with its empty details."""
    return {
        **usage(prompt_tokens, completion_tokens),
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    }
