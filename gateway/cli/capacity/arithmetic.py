"""How many run at once, and how fast? A roofline of one replica, and of as many as the GPUs carry.

A step makes one token for every sequence that runs, and reads all weights and all of their cache once: it takes as long
as the memory's bandwidth or the cores' operations need, whichever is longer. A prompt is read in one go, by the cores'
operations, while the others wait. Of a full replica Little's law gives the rest: what runs is what comes in times how
long it stays.
"""

import math
from dataclasses import dataclass

from gateway.cli.capacity.hardware import GIB, Gpu
from gateway.cli.capacity.models import Model, Weights

BLOCK = 16
"""Tokens of one block of vLLM's cache (--block-size)."""
SPLITS = (1, 2, 4, 8)
"""GPUs that one model may be spread over (--tensor-parallel-size)."""


class DoesNotFitError(Exception):
    """The weights leave no room for one whole context, whatever the replica is spread over."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What no data sheet says; each is shown beside the result.

    Args:
        memory_share: of the card that vLLM may have (--gpu-memory-utilization).
        overhead: bytes on each card beside weights and cache: activations, CUDA graphs.
        bandwidth_share: of the bandwidth that is reached while tokens are made.
        compute_share: of the operations that are reached while prompts are read.
        batch: sequences at a time at the most (--max-num-seqs).
    """

    memory_share: float = 0.90
    overhead: float = 1.5 * GIB
    bandwidth_share: float = 0.80
    compute_share: float = 0.50
    batch: int = 64


@dataclass(frozen=True, slots=True)
class Load:
    """The requests, in tokens: `context` is the longest that may be, `prompt` and `answer` are the usual ones."""

    context: int
    prompt: int
    answer: int

    @property
    def whole(self) -> int:
        """Tokens that a usual request holds at its end."""
        return self.prompt + self.answer


@dataclass(frozen=True, slots=True)
class Engine:
    """One replica: a model on the GPUs that it is spread over.

    Args:
        kv_bytes: bytes of a number in the cache.
        spread: GPUs; what they tell each other is taken to cost nothing.
    """

    gpu: Gpu
    model: Model
    weights: Weights
    kv_bytes: float
    assumptions: Assumptions
    spread: int = 1

    @property
    def weight_bytes(self) -> float:
        """On all its GPUs together."""
        return self.model.weight_bytes(self.weights)

    @property
    def token_bytes(self) -> float:
        """Of one token in the cache."""
        return self.model.cache_bytes(self.kv_bytes)

    @property
    def cache_tokens(self) -> int:
        """Tokens that the cache has room for, in whole blocks; 0 where the weights alone are too much."""
        share = self.gpu.memory * self.assumptions.memory_share - self.assumptions.overhead
        room = share * self.spread - self.weight_bytes
        return max(0, int(room / self.token_bytes)) // BLOCK * BLOCK

    def sequences(self, tokens: int) -> int:
        """How many of so many tokens each the cache holds at once."""
        return self.cache_tokens // (math.ceil(tokens / BLOCK) * BLOCK)

    def step_secs(self, batch: float, held: float) -> float:
        """Seconds to make one token for each of `batch` sequences that hold `held` tokens each."""
        read = self.weight_bytes + batch * held * self.token_bytes
        memory = read / (self.gpu.bandwidth * self.assumptions.bandwidth_share * self.spread)
        return max(memory, batch * 2 * self.model.parameters / self._flops)

    def prefill_secs(self, tokens: int) -> float:
        """Seconds to read a prompt, and no less than one pass over the weights takes."""
        return max(self.model.prefill_flop(tokens) / self._flops, self.step_secs(0, 0))

    @property
    def _flops(self) -> float:
        return self.gpu.flops_at(self.weights.bits) * self.assumptions.compute_share * self.spread


@dataclass(frozen=True, slots=True)
class Capacity:
    """What `replicas` engines carry when all their slots are taken.

    Args:
        slots: requests that one replica runs at once.
        whole_contexts: requests of the longest kind that its cache holds at once.
        alone_secs: from one token to the next of a request that runs alone.
        first_secs: from the start of a request to its first token.
        each_secs: from one token to the next, while the replica is full.
    """

    engine: Engine
    load: Load
    replicas: int
    slots: int
    whole_contexts: int
    alone_secs: float
    first_secs: float
    each_secs: float

    @property
    def stay_secs(self) -> float:
        """How long a request runs, its wait for a slot not counted."""
        return self.first_secs + (self.load.answer - 1) * self.each_secs

    @property
    def replica_rps(self) -> float:
        """Requests a second that one replica finishes."""
        return self.slots / self.stay_secs

    @property
    def rps(self) -> float:
        """Requests a second that all of them finish."""
        return self.replica_rps * self.replicas

    @property
    def all_slots(self) -> int:
        """Requests that run at once, over all replicas."""
        return self.slots * self.replicas


def engine_for(gpu: Gpu, model: Model, weights: Weights, kv_bytes: float, load: Load, given: Assumptions) -> Engine:
    """The replica on the fewest GPUs that hold the weights and one request of the longest kind.

    Raises:
        DoesNotFitError: eight of them are too few.
    """
    for spread in SPLITS:
        engine = Engine(gpu, model, weights, kv_bytes, given, spread)
        if model.kv_heads % spread == 0 and engine.sequences(load.context):
            return engine
    raise DoesNotFitError(
        f"{model.name}: {model.weight_bytes(weights) / GIB:.1f} GiB of weights and {load.context:,} tokens of cache "
        f"do not fit {max(size for size in SPLITS if model.kv_heads % size == 0)} of {gpu.name}"
    )


def capacity(engine: Engine, load: Load, gpus: int) -> Capacity:
    """What so many GPUs carry.

    Raises:
        DoesNotFitError: they are fewer than one replica needs.
    """
    if gpus < engine.spread:
        raise DoesNotFitError(f"{engine.model.name} needs {engine.spread} of {engine.gpu.name}, not {gpus}")
    slots = min(engine.assumptions.batch, engine.sequences(load.whole))
    held = load.prompt + load.answer / 2
    prefill, step = engine.prefill_secs(load.prompt), engine.step_secs(slots, held)
    # In the time that one request stays, each of the slots has one prompt read, and all of them make its tokens.
    stay = slots * prefill + (load.answer - 1) * step
    first = prefill if load.answer > 1 else stay
    return Capacity(
        engine=engine,
        load=load,
        replicas=gpus // engine.spread,
        slots=slots,
        whole_contexts=engine.sequences(load.context),
        alone_secs=engine.step_secs(1, held),
        first_secs=first,
        each_secs=(stay - first) / max(1, load.answer - 1),
    )
