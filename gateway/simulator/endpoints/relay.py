"""How do the engine's outputs become an answer? One loop for every dialect, which says what its events look like."""

from collections.abc import Iterator
from typing import Protocol

from gateway.simulator.engine import Output
from gateway.simulator.errors import Refusal
from gateway.simulator.exchange import COMMENT, ClientGone, Exchange
from gateway.simulator.service import Job, Service


class Dialect(Protocol):
    """A stream's events. Each is sent as a chunk of its own."""

    def events(self, output: Output) -> Iterator[bytes]:
        """The events of one output."""

    def ending(self) -> Iterator[bytes]:
        """The events after the last output."""

    def failed(self, error: Refusal) -> Iterator[bytes] | None:
        """The events after an engine error; None where the connection is dropped instead."""


async def relay(service: Service, exchange: Exchange, job: Job, dialect: Dialect, *, comments: bool = False) -> None:
    """Stream until the sequences are over or the client leaves.

    With `comments` the dialect gets keep-alive comments where the server is told to send them.

    Raises:
        ClientGone: the connection has been dropped.
    """
    every = exchange.orders.comments_every or (service.options.keep_alive_comment if comments else 0.0)
    exchange.entry.streamed = True
    await exchange.start_events()
    async with exchange.watched(lambda: service.leave(job)):
        try:
            job.check()
            async for output in job.outbox.outputs(every):
                if output is None:
                    await exchange.event(COMMENT)
                    continue
                for event in dialect.events(output):
                    await exchange.event(event)
            ending: Iterator[bytes] | None = dialect.ending()
        except Refusal as failure:
            exchange.broken = True
            ending = dialect.failed(failure)
        if ending is None:
            exchange.connection.close()
            raise ClientGone
        for event in ending:
            await exchange.event(event)
        await exchange.end_events()


async def gathered(service: Service, exchange: Exchange, job: Job) -> dict[int, Output]:
    """What each sequence made, by its index, once all are over.

    Raises:
        ClientGone: the client left first.
        Refusal: the engine failed.
    """
    job.check()
    made: dict[int, Output] = {}
    async with exchange.watched(lambda: service.leave(job)):
        async for output in job.outbox.outputs():
            if output is not None:
                made[output.index] = output
    return dict(sorted(made.items()))
