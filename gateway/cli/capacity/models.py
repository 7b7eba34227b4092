"""Which models can be reckoned with, and what does each keep in memory? A row for each, as its config.json has it."""

from collections.abc import Mapping
from dataclasses import dataclass

SIXTEEN_BITS = 2.0
"""Bytes of a number that is not quantized."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How the weights of the layers are kept.

    Args:
        bytes_each: of one parameter.
        bits: of the numbers that are multiplied; 4-bit weights are widened first.
        flags: what makes vLLM keep them so; none where the checkpoint itself does.
        checkpoint: what must be said of the checkpoint, where not any will do.
    """

    bytes_each: float
    bits: int
    flags: str = ""
    checkpoint: str = ""


WEIGHTS: Mapping[str, Weights] = {
    "bf16": Weights(SIXTEEN_BITS, 16),
    "fp8": Weights(1.0, 8, "--quantization fp8"),
    # Four bits; for each 128 of them a scale of 16 bits and a zero of four.
    "awq": Weights(0.5 + 2.5 / 128, 16, checkpoint="a checkpoint that was quantized with AWQ, under its own name"),
}
KV_BYTES: Mapping[str, float] = {"auto": SIXTEEN_BITS, "fp8": 1.0}
"""Bytes of a number in the cache, by vLLM's --kv-cache-dtype."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One decoder: the sizes that its config.json states under these names, more or less.

    Args:
        context: tokens that it was made for, prompt and answer together.
        tied: whether what reads tokens in also writes them out (`tie_word_embeddings`).
        bias: whether queries, keys and values have one (Qwen's do).
    """

    name: str
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    context: int
    head_dim: int = 128
    tied: bool = False
    bias: bool = True

    @property
    def embedding(self) -> int:
        """Parameters that turn tokens into vectors and back; quantization leaves them in 16 bits."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All of them."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = self.hidden * (2 * queries + 2 * keys) + (queries + 2 * keys if self.bias else 0)
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.embedding + self.layers * layer + self.hidden

    def weight_bytes(self, weights: Weights) -> float:
        """What they take in memory."""
        return (self.parameters - self.embedding) * weights.bytes_each + self.embedding * SIXTEEN_BITS

    def cache_bytes(self, kv_bytes: float) -> float:
        """Bytes that one token takes in the cache: a key and a value in each layer."""
        return 2 * self.layers * self.kv_heads * self.head_dim * kv_bytes

    def prefill_flop(self, tokens: int) -> float:
        """Operations to read a prompt: two for each parameter and token, and what each token makes of those before."""
        attention = 4 * self.layers * self.heads * self.head_dim * (tokens / 2)
        return tokens * (2 * self.parameters + attention)


MODELS: Mapping[str, Model] = {
    "3b": Model(
        name="Qwen/Qwen2.5-3B-Instruct",
        vocabulary=151_936,
        hidden=2048,
        intermediate=11_008,
        layers=36,
        heads=16,
        kv_heads=2,
        context=32_768,
        tied=True,
    ),
    "7b": Model(
        name="Qwen/Qwen2.5-7B-Instruct",
        vocabulary=152_064,
        hidden=3584,
        intermediate=18_944,
        layers=28,
        heads=28,
        kv_heads=4,
        context=32_768,
    ),
    "text2sql": Model(
        name="Snowflake/Arctic-Text2SQL-R1-7B",
        vocabulary=152_064,
        hidden=3584,
        intermediate=18_944,
        layers=28,
        heads=28,
        kv_heads=4,
        context=32_768,
    ),
    "14b": Model(
        name="Qwen/Qwen2.5-14B-Instruct",
        vocabulary=152_064,
        hidden=5120,
        intermediate=13_824,
        layers=48,
        heads=40,
        kv_heads=8,
        context=32_768,
    ),
    "32b": Model(
        name="Qwen/Qwen2.5-32B-Instruct",
        vocabulary=152_064,
        hidden=5120,
        intermediate=27_648,
        layers=64,
        heads=40,
        kv_heads=8,
        context=32_768,
    ),
    "70b": Model(
        name="meta-llama/Llama-3.3-70B-Instruct",
        vocabulary=128_256,
        hidden=8192,
        intermediate=28_672,
        layers=80,
        heads=64,
        kv_heads=8,
        context=131_072,
        bias=False,
    ),
}
"""By the name that is typed."""
