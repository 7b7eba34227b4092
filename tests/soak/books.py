"""Do the gateway's books agree with what its clients saw? Access lines by their ids, and the counter of requests."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COUNTER = "gateway_requests_total{"


@dataclass(frozen=True, slots=True)
class Books:
    """What was written down of the load's requests.

    Args:
        unwritten: ids that a client was answered under and that no access line has, nor a killed worker's prefix.
        repeated: ids that several access lines have.
        lines: how many access lines there are.
        counted: how many requests gateway_requests_total has.
    """

    unwritten: Sequence[str]
    repeated: Sequence[str]
    lines: int
    counted: int


def audit(
    answered: Iterable[str],
    prefixes: Sequence[str],
    lines: Iterable[Mapping[str, Any]],
    metrics: Mapping[str, float],
    paths: Collection[str],
) -> Books:
    """Hold the lines and the counter of these paths to the ids under which clients were answered."""
    written = Counter(str(line["request_id"]) for line in lines if line["path"] in paths)
    labels = [f'path="{path}"' for path in paths]
    counted = sum(
        value for name, value in metrics.items() if name.startswith(COUNTER) and any(label in name for label in labels)
    )
    killed = tuple(prefixes)
    return Books(
        [one for one in answered if one not in written and not one.startswith(killed)],
        [one for one, count in written.items() if count > 1],
        written.total(),
        int(counted),
    )
