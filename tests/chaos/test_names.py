"""A backend's name leads elsewhere, to several addresses, or nowhere: real workers and the host's real resolver."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import BACKEND_KEY, Gateway, free_port, wait_until
from tests.support.simulators import Simulator

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
NAME = "chat0.fleet.test"
FLAGS = ("--max-model-len", "8192", "--api-key", BACKEND_KEY)
SETTINGS: dict[str, object] = {
    "GATEWAY_WORKERS": 1,  # another one might hear of a name for the first time, and follow nobody
    "MAX_RPS_PER_IP": 10_000,
    "RPS_BURST": 10_000,
    "UPSTREAM_DNS_SECS": 0.2,
    "UPSTREAM_MAX_CONNECTION_AGE_SECS": 0.2,  # a name is looked up for a new connection: steady use needs none
    "BACKEND_PROBE_INTERVAL_SECS": 0.25,
    "BACKEND_UP_AFTER": 1,
}
OLD, NEW, NOBODY = "127.0.0.21", "127.0.0.22", "127.0.0.23"


class Names:
    """The host's names, as one gateway's processes see them: /etc/hosts in a mount namespace of their own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "hosts"
        own = ["--user", "--map-root-user"] if os.geteuid() else []
        bind = 'mount --bind "$0" /etc/hosts && exec "$@"'
        self.within = ("unshare", *own, "--mount", "sh", "-c", bind, str(self.file))
        self.lead()

    def lead(self, *addresses: str) -> None:
        """The backend's name leads there from now on."""
        lines = ["127.0.0.1 localhost", *(f"{address} {NAME}" for address in addresses)]
        self.file.write_text("\n".join(lines) + "\n")  # in place: it is this file that is mounted


@pytest.fixture
def names(tmp_path: Path) -> Names:
    found = Names(tmp_path)
    if shutil.which("unshare") is None or subprocess.run([*found.within, "true"], check=False).returncode:  # noqa: S603 -- `true`
        pytest.skip("no mount namespace can be made here")
    return found


@pytest.fixture
def start(names: Names, tmp_path: Path) -> Iterator[Callable[[int], Gateway]]:
    """Starts a gateway with one backend, at the name and this port."""
    with ExitStack() as stack:

        class Named(Gateway):
            """One that sees those names."""

            within = names.within

        def make(port: int) -> Gateway:
            return stack.enter_context(Named(tmp_path, CHAT_BACKENDS=f"http://{NAME}:{port}", **SETTINGS))

        yield make


def state(gateway: Gateway) -> tuple[str, str]:
    (one,) = gateway.report()["backends"]
    return one["state"], one["reason"]


def at(address: str, port: int) -> Simulator:
    return Simulator("chat", "--host", address, *FLAGS, port=port)


def ask(gateway: Gateway, count: int = 1) -> list[int]:
    with gateway.client() as client:
        return [client.post(PATH, json=BODY).status_code for _ in range(count)]


@pytest.mark.timeout(120)
def test_requests_follow_a_backend_to_its_new_address_though_the_old_one_still_answers(
    names: Names, start: Callable[[int], Gateway]
) -> None:
    port = free_port()
    with at(OLD, port) as old, at(NEW, port) as new:
        names.lead(OLD)
        gateway = start(port)
        wait_until(gateway.well)
        assert (ask(gateway, 5), len(old.ledger()), len(new.ledger())) == ([200] * 5, 5, 0)
        names.lead(NEW)
        wait_until(lambda: set(ask(gateway)) == {200} and new.ledger(), what="nobody followed")

        def nobody_asks_the_old_one() -> bool:
            before = len(old.ledger())
            return ask(gateway, 8) == [200] * 8 and len(old.ledger()) == before

        wait_until(nobody_asks_the_old_one)
        assert state(gateway) == ("healthy", "ok")
        assert gateway.events("circuit_changed") == []


@pytest.mark.timeout(120)
def test_of_several_addresses_one_that_answers_is_enough(names: Names, start: Callable[[int], Gateway]) -> None:
    port = free_port()
    with at(NEW, port) as server:
        names.lead(NOBODY, OLD, NEW)
        gateway = start(port)
        wait_until(gateway.well)
        assert ask(gateway, 10) == [200] * 10
        assert len(server.ledger()) == 10
        assert {line["attempts"] for line in gateway.access_lines() if line["path"] == PATH} <= {1}
        assert gateway.events("circuit_changed") == []


@pytest.mark.timeout(120)
def test_a_name_that_leads_nowhere_is_said_at_once_and_forgotten_when_it_leads_somewhere(
    names: Names, start: Callable[[int], Gateway]
) -> None:
    port = free_port()
    with at(NEW, port) as server:
        gateway = start(port)
        wait_until(lambda: state(gateway)[1] == "unresolved")
        assert ask(gateway, 3) == [503] * 3
        names.lead("169.254.169.254")
        wait_until(lambda: state(gateway)[1] != "unresolved")
        assert ask(gateway) == [503]
        names.lead(NEW)
        wait_until(lambda: ask(gateway) == [200])
        assert len(server.ledger()) == 1
