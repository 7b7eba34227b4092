"""What did the engines run? Their ledgers, read on and on, as each keeps the newest of its requests only."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from tests.soak.load import OK, PATHS
from tests.soak.pausing import is_over
from tests.support.simulators import Simulator


class Ledgers:
    """The ledgers of several servers.

    Attributes:
        ran: how often each of the load's requests was run, by its id; those that run still are not among them yet.
    """

    def __init__(self, servers: Mapping[str, Simulator]) -> None:
        self.ran: Counter[str] = Counter()
        self._read = dict.fromkeys(servers.values(), 0)

    async def read_now_and_then(self, every: float, over: asyncio.Event) -> None:
        """Read what is new every so many seconds; in a thread, as the load must not wait for it."""
        while not over.is_set():
            await asyncio.to_thread(self.read)
            await is_over(over, every)

    def read(self) -> None:
        """Take in what is new.

        Raises:
            AssertionError: a server has forgotten requests that were not read yet.
        """
        for server, last in self._read.items():
            rows = server.ledger(probes=True, after=last)
            assert not rows or rows[0]["number"] == last + 1, f"{server} forgot {rows[0]['number'] - last - 1} requests"
            for row in rows:
                if row["ended"] == "running":
                    break  # the next time begins with it
                self._read[server] = row["number"]
                if row["path"] in PATHS and row["status"] == OK:
                    self.ran[row["request_id"]] += 1

    def twice(self) -> list[str]:
        """The ids of requests that ran more than once."""
        return [request_id for request_id, count in self.ran.items() if count > 1]
