"""What keeps one thread's loads and stores in order, where other processes look at them? A fence."""

import threading


def fence() -> None:
    """Let no load or store of this thread pass from one side of the call to the other.

    x86-64 keeps all but a store before a load in order, arm64 keeps none. On both the release of a lock waits for all
    that stands before it, the taking of one holds back all that stands after it, and no taking overtakes a release.
    """
    lock = threading.Lock()
    for _ in range(2):
        lock.acquire()
        lock.release()
