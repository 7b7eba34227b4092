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
        lines: how many access lines there are of workers that were not killed.
        counted: how many requests gateway_requests_total has of those.
        last_lines: how many access lines there are of killed workers.
        last_counted: how many requests those had counted when they were killed.
    """

    unwritten: Sequence[str]
    repeated: Sequence[str]
    lines: int
    counted: int
    last_lines: int = 0
    last_counted: int = 0


def audit(
    answered: Iterable[str],
    prefixes: Sequence[str],
    lines: Iterable[Mapping[str, Any]],
    metrics: Mapping[str, float],
    paths: Collection[str],
    counted_by_killed: Mapping[str, int],
) -> Books:
    """Hold the lines and the counter of these paths to the ids under which clients were answered.

    A worker counts a request and gathers its line for a tenth of a second: one that is killed then has counted more
    than it has written, and how many it had counted is what its page said. All others must agree to the last one.
    """
    written = Counter(str(line["request_id"]) for line in lines if line["path"] in paths)
    labels = [f'path="{path}"' for path in paths]
    counted = sum(
        value for name, value in metrics.items() if name.startswith(COUNTER) and any(label in name for label in labels)
    )
    killed = tuple(prefixes)
    last_lines = sum(count for one, count in written.items() if killed and one.startswith(killed))
    last_counted = sum(counted_by_killed.get(path, 0) for path in paths)
    return Books(
        [one for one in answered if one not in written and not (killed and one.startswith(killed))],
        [one for one, count in written.items() if count > 1],
        written.total() - last_lines,
        int(counted) - last_counted,
        last_lines,
        last_counted,
    )
