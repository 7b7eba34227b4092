"""When did a request last run here? A thread of the supervisor's looks once a second, and writes it down."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.core.boot import boot_id
from gateway.core.clock import SystemClock
from gateway.observability.activity import Activity, Look
from gateway.observability.totals import Totals
from gateway.server.sighting import Sighting, SightingFile

logger = logging.getLogger(__name__)

LOOK_SECS = 1.0
AGAIN_SECS = 5.0
"""After a failure of the disk."""
PARTING_SECS = 1.0
"""How long the end of the gateway waits for the last look: a disk that hangs keeps nobody."""


class IdleWatch:
    """What one supervisor sees, look by look.

    Not on the event loop: DATA_PATH is a disk, which may hang, and workers must be replaced all the same.

    Args:
        folder: see `SightingFile`.
        look: takes the figures of now.
        monotonic: seconds of the host's clock.
        boot: the kernel's name for this boot.
    """

    def __init__(
        self, folder: Path, look: Callable[[], Look], monotonic: Callable[[], float], boot: Callable[[], str]
    ) -> None:
        self._folder = folder
        self._look = look
        self._monotonic = monotonic
        self._boot = boot
        self._active_at: float | None = None
        self._written = True

    def run(self, ended: Callable[[float], bool]) -> None:
        """Look until `ended`, which waits for so many seconds at the most and says whether it is so."""
        over = False
        while not over:
            try:
                self._keep(ended)
                over = True
            except OSError as error:
                if self._written:
                    logger.warning("idleness_not_written", extra={"folder": str(self._folder), "why": str(error)})
                self._written = False
                over = self._look_on(ended)
            except Exception:  # a fault of ours must not end the watch for good
                logger.exception("idleness_failed", extra={"again_in_secs": AGAIN_SECS})
                over = ended(AGAIN_SECS)

    def _keep(self, ended: Callable[[float], bool]) -> None:
        """Keep a file until the end.

        Raises:
            OSError: it cannot be kept.
        """
        boot = self._boot()
        with SightingFile(self._folder, boot, self._monotonic()) as file:
            if self._active_at is None:
                self._active_at = file.active_at
            over = False
            while True:
                file.tell(self._seen(boot))
                if not self._written:
                    self._written = True
                    logger.info("idleness_written_again", extra={"folder": str(self._folder)})
                if over:
                    return
                over = ended(LOOK_SECS)

    def _look_on(self, ended: Callable[[float], bool]) -> bool:
        """Wait while nothing can be written: a request that runs meanwhile counts. Whether it is the end."""
        over = ended(AGAIN_SECS)
        self._seen(self._boot())
        return over

    def _seen(self, boot: str) -> Sighting:
        now = self._monotonic()
        look = self._look()
        if look.active or self._active_at is None:
            self._active_at = now
        return Sighting(boot, self._active_at, now, look.running)


@contextlib.contextmanager
def watching(folder: Path | None, totals: Totals) -> Iterator[None]:
    """Watch while the scope lasts; None: nobody asks how long no request has run."""
    if folder is None:
        yield
        return
    ending = threading.Event()
    watch = IdleWatch(folder, Activity(totals).look, SystemClock.monotonic, boot_id)
    thread = threading.Thread(target=watch.run, args=(ending.wait,), name="idleness", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(PARTING_SECS)
