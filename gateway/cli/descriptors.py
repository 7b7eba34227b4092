"""Which descriptors has the gateway? The standard ones, even if closed (`gateway serve >&-`), and all it may have."""

import contextlib
import os
import resource
import sys

STANDARD_ERROR = 2
ENOUGH = 1 << 20
"""Open files of one process; what an engine calls unlimited is a thousand times that, and of use to nobody."""


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


def allow_descriptors() -> None:
    """Let this process, and those that it starts, open as many files as it may.

    A connection is a file. systemd starts services with 1024, and Docker containers since 29 (containerd 2.1.5), where
    the hard limit is 524,288: it is for whoever needs more to ask, as this does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):  # a sandbox that forbids it: what there is has to do
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
