"""What stays of a request: exactly one record, and nothing in the process that served it."""

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, RawClient, in_threads, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "count"}], "max_tokens": 2000}
BOTH = ("chat0", "chat1")


def both(fleet: Fleet, fault: str, **parameters: Any) -> None:
    for name in BOTH:
        fleet[name].set_fault(fault, **parameters)


def test_every_request_has_one_record_however_it_ended(chat: Gateway, chat_fleet: Fleet) -> None:
    seen: list[tuple[str, int]] = []
    with chat.client() as client:

        def ask(method: str, path: str, **options: Any) -> None:
            with client.stream(method, path, **options) as answer, suppress(httpx.RemoteProtocolError):
                seen.append((answer.headers["x-request-id"], answer.status_code))
                answer.read()

        short = {**BODY, "max_tokens": 2}
        ask("POST", PATH, json=short)
        ask("POST", PATH, json={**short, "stream": True})
        ask("GET", "/health")
        ask("GET", "/v1/models")
        ask("POST", PATH, content=b"{")
        ask("POST", PATH, json=short, headers={"authorization": "Bearer wrong"})
        ask("POST", PATH, json={**short, "model": "nope"})
        ask("POST", "/v1/nothing", json=short)
        ask("PUT", PATH, json=short)
        ask("POST", PATH, content=b"x", headers={"content-encoding": "gzip"})
        ask("POST", PATH, json=short, headers={"x-request-id": seen[0][0]})
        both(chat_fleet, "status", status=400)
        ask("POST", PATH, json=short)
        both(chat_fleet, "reset_before_headers")
        ask("POST", PATH, json=short)
        both(chat_fleet, "refuse")
        ask("POST", PATH, json=short)
        both(chat_fleet, "abort", after=2)
        ask("POST", PATH, json={**BODY, "stream": True})
    ids = {request_id for request_id, _ in seen}

    def recorded() -> list[tuple[str, int]]:
        return [(line["request_id"], line["status"]) for line in chat.access_lines() if line["request_id"] in ids]

    wait_until(lambda: len(recorded()) >= len(seen))
    assert sorted(recorded()) == sorted(seen)
    assert Counter(status for _, status in seen) == {200: 6, 400: 2, 401: 1, 404: 2, 405: 1, 415: 1, 502: 1, 503: 1}


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_kib(pid: int) -> int:
    """Memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


@pytest.mark.timeout(120)
def test_departures_at_random_moments_leave_no_socket_and_no_memory(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, MAX_RPS_PER_IP=100_000, RPS_BURST=100_000)
    (pid,) = gateway.worker_pids()
    for name in BOTH:
        chat_fleet[name].set_pace(ttft_ms=5, token_ms=2)

    def come_and_go(thread: int) -> None:
        for number in range(250):
            client = RawClient(gateway.port).post(PATH, {**BODY, "stream": bool(number % 2)})
            client.readable((number * 7 + thread) % 23 / 1000)
            client.reset() if number % 3 else client.socket.close()

    def all_gone() -> bool:
        return gateway.idle() and all(chat_fleet[name].state()["running"] == 0 for name in BOTH)

    figures: list[tuple[int, int]] = []
    for _ in range(3):
        with in_threads(8, come_and_go) as failures:
            pass
        assert failures == []
        wait_until(all_gone)
        wait_until(lambda: sockets_of_clients(gateway) == 0)
        figures.append((open_files(pid), resident_kib(pid)))
    (_, _), (files, memory), (files_later, memory_later) = figures
    assert files_later <= files + 2
    assert memory_later <= memory * 1.05


def sockets_of_clients(gateway: Gateway) -> int:
    """Connections that the gateway still has with clients."""
    port = f":{gateway.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[1].endswith(port) and row[3] in {"01", "08"})
