"""Which signals does a child of the supervisor answer? SIGTERM; those of a terminal are the supervisor's own."""

import signal

SUPERVISORS = (signal.SIGINT, signal.SIGHUP)
"""End the service, and replace its workers. Told to a worker, each would cut its streams."""


def leave_to_supervisor() -> None:
    """Ignore them from now on: who sends them to every process of a group or a name means the service."""
    for number in SUPERVISORS:
        signal.signal(number, signal.SIG_IGN)
