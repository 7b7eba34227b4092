"""What is known of the backends, and by whom?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from gateway.api.fleet import DrainAware, FleetView, KeysAwaited
from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.circuit import tell_circuit
from gateway.backends.heritage import Heritage
from gateway.backends.probed import tell_change
from gateway.backends.view import BoardView
from gateway.catalog.reader import Catalog
from gateway.core.clock import Clock
from gateway.core.worker import WorkerIdentity
from gateway.fleet.live import LiveFleet, live_fleet
from gateway.wiring.parts import Fleet, Rooms, Voice

if TYPE_CHECKING:
    from gateway.settings import Settings


def build_fleet(settings: "Settings", worker: WorkerIdentity, voice: Voice, catalog: Catalog | None) -> Fleet:
    """The backends that there are, and what all processes of the host have found out about them."""
    live = live_fleet(settings, catalog)
    board = Board([backend for _, backend in live.static.backends()], worker.board, worker.row)
    breaker = Breaker(board, settings, voice.clock, partial(tell_circuit, voice.log, voice.metrics))
    view = BoardView(board, breaker, live.roster, voice.clock, settings.backend_probe_interval_secs)
    live.listen(lambda roster: board.follow(roster.placed()))  # before anybody sends anything there
    live.listen(view.follow)
    return Fleet(live, board, breaker, view)


def seen_from_outside(rooms: "Rooms") -> FleetView:
    """The fleet as probes are told of it: nobody is to be sent here who could not be served."""
    _, worker, voice, shared, fleet = rooms
    catalog = shared.catalog
    view: FleetView = fleet.view
    if catalog is not None:
        view = KeysAwaited(view, lambda: catalog.settled, voice.clock)
    return DrainAware(view, worker.drain)


@asynccontextmanager
async def following(live: LiveFleet, clock: Clock) -> AsyncIterator[None]:
    """What is published of models is in force before the first request, and soon after each change."""
    live.refresh()
    task = asyncio.create_task(live.run(clock), name="models at run time")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def watching(settings: "Settings", fleet: Fleet, voice: Voice) -> AsyncIterator[None]:
    """A prober beside the application that it is for: where no supervisor watches the fleet."""
    from gateway.backends.prober import Prober  # noqa: PLC0415 -- an HTTP client, which a supervised worker is spared

    clock = voice.clock
    prober = Prober(
        settings,
        Heritage(fleet.board, settings.backend_stall_secs, clock.monotonic()),
        fleet.breaker,
        clock,
        ca_file=settings.upstream_ca_file,
        on_probe=lambda probed: tell_change(voice.log, probed),
    )
    probing = asyncio.create_task(prober.run(), name="prober")
    try:
        yield
    finally:
        probing.cancel()
        await asyncio.wait([probing])
