"""Which GPUs can be reckoned with? A row for each, as its data sheet has it."""

from collections.abc import Mapping
from dataclasses import dataclass

GIB = 2**30
WIDEST = 16
"""Bits of the arithmetic that every card has."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card.

    Args:
        name: as NVIDIA calls it.
        memory: bytes that a process may have: what the driver shows, rounded down to whole GiB.
        bandwidth: bytes a second between memory and cores.
        flops: operations a second of dense matrices, without sparsity, by the bits of the numbers.
    """

    name: str
    memory: int
    bandwidth: float
    flops: Mapping[int, float]

    def flops_at(self, bits: int) -> float:
        """Operations a second on numbers of so many bits; a card without them computes with 16."""
        return self.flops.get(bits, self.flops[WIDEST])


GPUS: Mapping[str, Gpu] = {
    "l4": Gpu("NVIDIA L4", 22 * GIB, 300e9, {16: 121e12, 8: 242e12}),
    "a10": Gpu("NVIDIA A10", 22 * GIB, 600e9, {16: 125e12}),
    "l40s": Gpu("NVIDIA L40S", 44 * GIB, 864e9, {16: 362e12, 8: 733e12}),
    "a100": Gpu("NVIDIA A100 80 GB SXM", 79 * GIB, 2039e9, {16: 312e12}),
    "h100": Gpu("NVIDIA H100 80 GB SXM", 79 * GIB, 3350e9, {16: 989e12, 8: 1979e12}),
}
"""By the name that is typed. The data sheets state most operations with sparsity, which is twice as much."""
