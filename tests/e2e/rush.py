"""What becomes of a hundred requests that come at once for less than they need?"""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from tests.e2e.conftest import Fleet
from tests.support.gateway import Gateway, RawClient, in_threads, wait_until

CLIENTS = 100
THREADS = 10


def rush(gateways: Sequence[Gateway], fleet: Fleet, body: dict[str, Any], *, fitting: int) -> Counter[bytes]:
    """The statuses of a hundred, taking the gateways in turn, of which so many fit at the same time.

    The backends answer when all the others have been refused: nothing is settled, and so given back, before.
    """
    for server in fleet.servers.values():
        server.stop_engine()
    with ExitStack() as stack:
        ports = [gateways[number % len(gateways)].port for number in range(CLIENTS)]
        clients = [stack.enter_context(RawClient(port)) for port in ports]

        def ask(thread: int) -> None:
            for client in clients[thread::THREADS]:
                client.post("/v1/chat/completions", body, headers="Connection: close\r\n")

        with in_threads(THREADS, ask) as failures:
            pass
        assert failures == []
        wait_until(lambda: sum(client.readable(0) for client in clients) == CLIENTS - fitting)
        wait_until(lambda: fleet.requests() == fitting)
        for server in fleet.servers.values():
            server.resume_engine()
        return Counter(client.rest()[9:12] for client in clients)
