"""How is the example in a module's docstring played? Each row is a call, and what stands in the tree then."""

import re
from collections.abc import Iterator
from types import ModuleType

from gateway.store.records import Claimant


def rows(module: ModuleType) -> Iterator[tuple[str, list[str], Claimant, list[str]]]:
    """What is called, the words behind it, who calls, and the cells of the row."""
    assert module.__doc__
    table = [line for line in module.__doc__.splitlines() if line.startswith("    ")]
    for line in table[1:]:
        call, *cells = re.split(r"\s{2,}", line.strip())
        found = re.fullmatch(r"(\w+) (.*)\((\d+), (\d+)\)", call)
        assert found, call
        yield found[1], found[2].split(), Claimant(int(found[3]), int(found[4])), cells


def listed(*each: object) -> str:
    """The words of a cell, or that there are none."""
    return ", ".join(map(str, each)) or "-"


def who(claimant: Claimant) -> str:
    return f"({claimant.worker}, {claimant.token})"


def workers(line: list[int]) -> str:
    """What each worker has of a line, behind its first four figures."""
    return listed(*(f"{worker}: {taken}" for worker, taken in zip(line[4::2], line[5::2], strict=True)))
