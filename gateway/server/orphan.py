"""What ends a worker whose supervisor was killed? Its own loop, by a drain; and this, if that loop stands still."""

import faulthandler
import select
import socket
import threading

STDERR = 2


def end_if_orphaned(channel: socket.socket, patience: float) -> None:
    """End this process `patience` seconds after its supervisor has died, if it has not ended by then.

    The supervisor would have killed a worker that is overdue. The stacks of all threads go to standard error then, and
    the exit status is 1.
    """

    def wait() -> None:
        gone = select.poll()
        gone.register(channel, 0)  # the other end's death is told unasked; what there is to read is the loop's
        gone.poll()
        # By faulthandler, whose thread needs no turn from the interpreter: a library's call may hold that for good.
        faulthandler.dump_traceback_later(patience, file=STDERR, exit=True)

    threading.Thread(target=wait, name="orphan", daemon=True).start()
