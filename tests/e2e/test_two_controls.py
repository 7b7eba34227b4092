"""Two control processes at once: one that stood still goes on beside its successor, or never does. All is done once."""

import os
import signal
from collections import Counter

import httpx
import pytest

from tests.e2e.controlled import Host, controls, load
from tests.e2e.controlled import host as host  # noqa: PLC0414 -- a fixture
from tests.e2e.controlled import make_host as make_host  # noqa: PLC0414 -- a fixture
from tests.support.gateway import wait_until

STRANGERS = 8
"""Connections that a key is shown on: the kernel picks a worker for each."""


def all_get(host: Host, key: str, status: int) -> bool:
    """Whether that is what the key gets, on so many connections."""

    def one() -> int:
        known = {"authorization": f"Bearer {key}"}
        return httpx.get(f"{host.gateway.url}/v1/models", headers=known, timeout=30, trust_env=False).status_code

    return {one() for _ in range(STRANGERS)} == {status}


@pytest.mark.parametrize("goes_on", [True, False], ids=["it goes on", "it never does"])
def test_one_that_stood_still_while_its_successor_came_books_nothing_twice_and_loses_no_revocation(
    host: Host, *, goes_on: bool
) -> None:
    key_id, key = host.new_key()
    wait_until(lambda: all_get(host, key, 200))
    before = host.control()
    with load(host.gateway) as found:
        os.kill(before, signal.SIGSTOP)  # in the midst of whatever it did
        count = len(found.answered)
        wait_until(lambda: len(found.answered) > count + 200)
        host.gateway.signal(signal.SIGHUP)
        wait_until(lambda: len(host.gateway.events("control_serving")) == 2)
        assert before in controls(host.gateway)
        assert len(host.gateway.events("control_on_duty")) == 1, "the duty is the old one's while it lives"
        assert host.admin("POST", f"/admin/v1/keys/{key_id}/revoke").status_code == 200
        if goes_on:
            os.kill(before, signal.SIGCONT)
        host.on_duty(2)
        wait_until(lambda: all_get(host, key, 401))
        wait_until(lambda: before not in controls(host.gateway))
        assert all_get(host, key, 401), "nobody publishes what it knew before"
        count = len(found.answered)
        wait_until(lambda: len(found.answered) > count + 50)
    wait_until(lambda: host.booked().keys() >= found.ids())
    assert host.booked() == Counter(found.ids())
    assert host.summed() == len(found.ids())
    assert len(host.gateway.events("control_overdue")) == (not goes_on)
