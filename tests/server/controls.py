"""Control processes for a keeper, run as `python -m tests.server.controls`: what one does, its settings say."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

from gateway.server.channel import receive_control_assignment, report_failure, report_ready
from gateway.server.pulse import Heart


async def beat(pulse: int, channel: socket.socket) -> None:
    """Serve, and turn until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    Heart(pulse)
    report_ready(channel)
    await over.wait()


def main() -> None:
    """Read the assignment and behave: `serves`, `deaf` to SIGTERM, `fails`, `dies`, or `silent` until it is told.

    One that `beats` serves too, and its loop turns until something stops it.
    """
    channel = socket.socket(fileno=int(sys.argv[1]))
    assignment = receive_control_assignment(channel)
    how = getattr(assignment.settings, "how", "serves")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if how == "dies":
        sys.exit(7)
    if how == "fails":
        report_failure(channel, "the database is\nof a newer release")
        sys.exit(1)
    if how != "silent":
        with socket.socket(socket.AF_UNIX) as listener:
            # As the real one does: its name is there from the moment when it answers, over whoever had it before.
            beside = Path(f"{assignment.socket}.{how}")
            listener.bind(str(beside))
            listener.listen()
            beside.rename(assignment.socket)
            if how == "beats":
                asyncio.run(beat(assignment.pulse, channel))
                return
            report_ready(channel)
            if how == "deaf":
                signal.pause()  # SIGTERM is blocked
            signal.sigwait({signal.SIGTERM})
    else:
        signal.sigwait({signal.SIGTERM})


main()
