"""A host that runs out of something: descriptors, room on its disks. What is ours to bear is no backend's fault."""

import os
import resource
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.soak.looks import has_catalog
from tests.support.gateway import Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
BOTH = ("chat0", "chat1")
FREE: dict[str, object] = {"MAX_RPS_PER_IP": 10_000, "RPS_BURST": 10_000}
FAILURES = 5
"""After so many in a row a circuit opens."""
READY_SECS = 0.5


def forbid_more_descriptors(pid: int) -> tuple[int, int]:
    """From now on the process can open nothing; what it could before."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}  # noqa: PTH208 -- procfs
    free = next(number for number in range(len(used) + 1) if number not in used)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, before[1]))
    return before


def test_a_worker_without_descriptors_says_so_blames_no_backend_and_goes_on_when_it_has_some(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, **FREE)
    wait_until(gateway.well)
    (pid,) = gateway.worker_pids()
    wait_until(lambda: has_catalog(pid))
    with ExitStack() as stack, gateway.client() as client:
        assert client.get("/health").status_code == 200
        before = forbid_more_descriptors(pid)
        refused = [client.post(PATH, json=BODY) for _ in range(2 * FAILURES)]
        assert {(one.status_code, one.json()["error"]["code"]) for one in refused} == {
            (503, "upstream_connections_exhausted")
        }
        assert all(1 <= float(one.headers["retry-after"]) <= 60 for one in refused)
        assert client.get("/health").status_code == 200
        outside = [stack.enter_context(RawClient(gateway.port)).post(PATH, BODY) for _ in range(5)]
        assert not any(one.readable(READY_SECS) for one in outside[:1])
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for one in outside:
            assert one.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert client.post(PATH, json=BODY).status_code == 200
    assert gateway.events("circuit_changed") == []
    assert {event["state"] for event in gateway.events("backend_changed")} == {"healthy"}
    assert chat_fleet.requests() == 6
    wait_until(gateway.idle)


def processes(gateway: Gateway) -> list[int]:
    """The supervisor and all that it has started."""
    children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text(encoding="ascii").split()
    return [gateway.pid, *map(int, children)]


def fill_the_disk(gateway: Gateway, *, full: bool) -> None:
    """No file may grow beyond what it has, as if every disk were full."""
    for pid in processes(gateway):
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))


def test_with_every_disk_full_limits_are_exact_lines_are_counted_and_usage_is_written_later(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    burst, asked = 40, 60
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, MAX_RPS_PER_IP=0.001, RPS_BURST=burst, RPS_WINDOW_SECS=1)
    wait_until(lambda: len(gateway.events("backend_changed")) >= len(BOTH))
    wait_until(lambda: all(map(has_catalog, gateway.worker_pids())))
    booked = 'gateway_usage_records_total{fate="written"}'
    wait_until(lambda: booked in gateway.metrics())
    before = gateway.metrics()[booked]
    fill_the_disk(gateway, full=True)
    with gateway.client() as client:
        answers = [client.post(PATH, json=BODY) for _ in range(asked)]
        assert Counter(answer.status_code for answer in answers) == {200: burst, 429: asked - burst}
        wait_until(lambda: gateway.metrics().get("gateway_log_lines_dropped_total", 0) >= asked)
        fill_the_disk(gateway, full=False)
        last = client.post(PATH, json=BODY)
        assert gateway.access_line(last.headers["x-request-id"])["status"] == 429
    wait_until(lambda: gateway.metrics()[booked] >= before + burst)
    assert gateway.metrics().get('gateway_usage_records_total{fate="lost"}', 0) == 0
    wait_until(gateway.idle)
    assert chat_fleet.requests() == burst


def test_a_start_without_room_for_the_shared_state_is_refused_in_words(
    chat_fleet: Fleet, make_gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is allocated at the start: a write to a map without memory behind it would kill the worker later."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr("tests.support.gateway.START_SECS", 60.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(AssertionError, match=r"gateway: LIMITER_PATH \S+ (cannot be opened|has no room)"):
            make_gateway(chat_fleet, **FREE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
