"""What if standard input, output or error is closed (`gateway serve >&-`)? It leads nowhere, and the rest works."""

import os
import sys

STANDARD_ERROR = 2


def occupy_standard() -> None:
    """Open /dev/null in the place of every closed standard descriptor.

    The next file or socket would get the free number: libuv aborts the process when it is to close one of the first
    three, and whatever a library prints would be sent to a client.
    """
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= STANDARD_ERROR:
        os.set_inheritable(opened, True)  # noqa: FBT003 -- positional only; the workers need them open too
        opened = os.open(os.devnull, os.O_RDWR)
    os.close(opened)
    # Python has None for a stream that was closed at its start.
    sys.stdout = sys.stdout or open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115 -- for the process's life
    sys.stderr = sys.stderr or open(STANDARD_ERROR, "w", closefd=False, encoding="utf-8")  # noqa: SIM115 -- the same
