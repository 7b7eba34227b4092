"""What a worker is to its supervisor while it comes up and goes."""

import socket
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.observability.metrics import Metrics
from gateway.server.channel import RETIRE, report_ready
from gateway.server.life import State, Worker
from gateway.server.process import WorkerProcess
from gateway.server.pulse import Pulse

pytestmark = pytest.mark.anyio


async def test_a_worker_that_retires_before_it_has_come_up_stays_one_that_retires() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Pulse() as pulse:
        process = SimpleNamespace(pid=0, terminate=None, kill=None, channel=ours)
        worker = Worker(cast("WorkerProcess", process), 0, pulse, Metrics())
        worker.join()
        worker.retire()
        assert theirs.recv(100) == RETIRE
        report_ready(theirs)
        assert await worker.serves()
        assert worker.state is State.RETIRING
