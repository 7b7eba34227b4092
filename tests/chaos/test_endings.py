"""A hundred streams at a stop, and a log that cannot be written: nothing is cut, nothing stands still."""

import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import KEY, Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "ignore_eos": True}
BOTH = ("chat0", "chat1")
STREAMS = 100
READY = f"GET /ready HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()


class SilentGateway(Gateway):
    """One whose log is a device that is always full, and is not to be read: it never ends."""

    def __init__(self, folder: Path, **settings: object) -> None:
        (folder / "gateway.log").symlink_to("/dev/full")
        super().__init__(folder, **settings)

    def log_text(self) -> str:
        return "(written to /dev/full)"


@pytest.mark.timeout(240)
def test_a_stop_with_a_hundred_streams_cuts_none(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    limits = {"MAX_RPS_PER_IP": 1000, "RPS_BURST": 1000, "MAX_INFLIGHT_PER_IP": STREAMS}
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, **limits)
    for name in BOTH:
        chat_fleet[name].set_pace(token_ms=20)
    with ExitStack() as stack:
        balancer = stack.enter_context(RawClient(gateway.port))
        wait_until(lambda: status(balancer) == 200)
        clients = [stack.enter_context(RawClient(gateway.port)) for _ in range(STREAMS)]
        for client in clients:
            client.post(PATH, {**BODY, "max_tokens": 300, "stream": True})
        for client in clients:
            client.until(b"data: ")
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: refused(gateway))
        wait_until(lambda: status(balancer) == 503)  # the listener is the supervisor's: a worker hears a little later
        bodies = [client.rest() for client in clients]
    assert [body[-300:] for body in bodies if b"data: [DONE]" not in body] == []
    assert gateway.wait(60) == 0


def status(balancer: RawClient) -> int:
    """What /ready says on this connection: one answer a time, whose body comes with its head."""
    balancer.received = b""
    return int(balancer.send(READY).until(b"\r\n\r\n").split(b" ")[1])


def refused(gateway: Gateway) -> bool:
    try:
        socket.create_connection(("127.0.0.1", gateway.port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_with_a_full_disk_under_the_log_requests_go_on_and_what_is_lost_is_counted(
    chat_fleet: Fleet, tmp_path: Path
) -> None:
    limits = {"MAX_RPS_PER_IP": 1000, "RPS_BURST": 1000}
    with SilentGateway(tmp_path, **chat_fleet.settings(), GATEWAY_WORKERS=2, **limits) as gateway:
        with gateway.client() as client:
            statuses = {client.post(PATH, json={**BODY, "max_tokens": 2}).status_code for _ in range(50)}
        assert statuses == {200}
        wait_until(lambda: gateway.metrics().get("gateway_log_lines_dropped_total", 0) >= 50)
        assert gateway.stop() == 0


def test_a_stop_in_the_midst_of_a_reload_is_a_clean_end_of_both_generations(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    """The control processes among them: one serves, the other waits for workers that never will."""
    gateway = make_gateway(chat_fleet)
    (old,) = gateway.worker_pids()
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: set(gateway.worker_pids()) - {old})
    assert gateway.stop() == 0
    assert "Traceback" not in gateway.log_text()
    assert not gateway.events("generation_failed")
