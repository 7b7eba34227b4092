"""The control process at a real gateway: what it does is done once, whatever dies, and requests never wait for it."""

import contextlib
import os
import signal
import sqlite3
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.e2e.controlled import Host, Load, MakeHost, ask, controls, load
from tests.e2e.controlled import host as host  # noqa: PLC0414 -- a fixture
from tests.e2e.controlled import make_host as make_host  # noqa: PLC0414 -- a fixture
from tests.support import ledger
from tests.support.gateway import RawClient, wait_until
from tests.support.postgres import PostgresServer, postgres_server

OUTAGE_SECS = 5.0


def wait_for_more(found: Load) -> None:
    """Requests are answered from now on, too."""
    count = len(found.answered)
    wait_until(lambda: len(found.answered) > count + 50)


def book_is_complete(host: Host, found: Load) -> None:
    """Each answer stands in the ledger, once."""
    try:
        wait_until(lambda: host.booked().keys() >= found.ids())
    except AssertionError:
        missing = len(found.ids() - host.booked().keys())
        told = {name: value for name, value in host.gateway.metrics().items() if "usage" in name}
        raise AssertionError(f"{missing} of {len(found.ids())} are missing: {told}") from None
    assert host.booked() == Counter(found.ids())
    assert host.summed() == len(found.ids())


def test_a_control_process_that_is_killed_under_load_costs_no_request_and_no_record(host: Host) -> None:
    workers = host.gateway.worker_pids()
    with load(host.gateway) as found:
        for times in range(3):
            os.kill(host.control(), signal.SIGKILL)
            host.on_duty(times + 2)
            wait_for_more(found)
    book_is_complete(host, found)
    assert host.gateway.worker_pids() == workers
    assert host.gateway.metrics()["gateway_control_deaths_total"] == 3
    assert host.admin("GET", "/admin/v1/keys").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_terminals_signal_to_a_control_process_is_nothing(host: Host, number: signal.Signals) -> None:
    before = host.control()
    os.kill(before, number)
    assert host.admin("GET", "/admin/v1/keys").status_code == 200
    assert host.control() == before
    assert host.gateway.metrics()["gateway_control_deaths_total"] == 0


def test_without_a_control_process_its_paths_say_so_and_models_are_served(host: Host) -> None:
    _, key = host.new_key()
    with RawClient(host.gateway.port) as client:
        wait_until(lambda: ask(client, key)[0] == 200)
    os.kill(host.control(), signal.SIGSTOP)
    os.kill(host.control(), signal.SIGKILL)
    answer = host.admin("GET", "/admin/v1/keys")
    if not controls(host.gateway) or len(host.gateway.events("control_on_duty")) < 2:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "control_plane_unavailable"
        assert answer.headers["retry-after"] == "1"
    with RawClient(host.gateway.port) as client:
        assert ask(client, key)[0] == 200
    host.on_duty(2)
    wait_until(lambda: host.admin("GET", "/admin/v1/keys").status_code == 200)


def test_a_database_that_is_away_keeps_no_request_waiting_and_all_is_booked_afterwards(host: Host) -> None:
    connection = sqlite3.connect(host.data / "gateway.db", isolation_level=None)
    with load(host.gateway) as found:
        wait_until(host.booked)
        connection.execute("BEGIN IMMEDIATE")
        locked, count = time.monotonic(), len(found.answered)
        wait_until(lambda: host.gateway.metrics()['gateway_usage_records_total{fate="spooled"}'] > 0)
        wait_until(lambda: time.monotonic() > locked + OUTAGE_SECS)
        during = len(found.answered) - count
        connection.execute("ROLLBACK")
        connection.close()
    assert during > 100
    book_is_complete(host, found)
    wait_until(lambda: host.gateway.metrics()["gateway_usage_spool_bytes"] == 0)
    assert host.gateway.metrics()['gateway_usage_records_total{fate="lost"}'] == 0


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def test_a_postgresql_server_that_dies_and_comes_back_misses_nothing(
    make_host: MakeHost, postgres: PostgresServer
) -> None:
    url = postgres.new_database()
    host = make_host(DATABASE_URL=url)
    _, key = host.new_key()
    with RawClient(host.gateway.port) as client:
        wait_until(lambda: ask(client, key)[0] == 200)

    def booked() -> Counter[str]:
        with psycopg.connect(url) as connection:
            contents = [content for (content,) in connection.execute("SELECT content FROM usage_sheets")]
        return Counter(record.request_id for record in ledger.read(contents))

    before = wait_until(booked)
    with load(host.gateway, key) as found:
        wait_until(lambda: len(booked()) > len(before) + 10)
        postgres.stop()
        stopped = time.monotonic()
        wait_until(lambda: host.gateway.metrics()["gateway_database_up"] == 0)
        wait_until(lambda: time.monotonic() > stopped + OUTAGE_SECS)
        postgres.start()
        wait_until(lambda: host.gateway.metrics()["gateway_database_up"] == 1)
    wait_until(lambda: booked().keys() >= found.ids())
    assert max(booked().values()) == 1
    assert booked() - before == Counter(found.ids())


def test_quotas_go_on_after_the_host_lost_its_memory(host: Host) -> None:
    with RawClient(host.gateway.port) as client:
        for _ in range(10):
            assert ask(client)[0] == 200
    wait_until(lambda: len(host.booked()) == 10)
    host.reboot(ORG_DAILY_REQUEST_LIMIT=14)
    wait_until(lambda: host.gateway.events("quotas_restored"))
    with RawClient(host.gateway.port) as client:
        assert [ask(client)[0] for _ in range(6)] == [200] * 4 + [429] * 2


def test_a_power_failure_under_load_loses_a_second_of_use_at_the_most(host: Host) -> None:
    failed = 0.0
    with contextlib.suppress(AssertionError), load(host.gateway) as found:  # every client is cut off
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() > begun + 3)
        failed = time.monotonic()
        host.reboot()
    due = {name for at, name in found.answered if at < failed - 1.0}
    assert len(due) > 100
    assert due <= host.booked().keys()


def test_a_reload_hands_the_duty_over_and_books_everything_once(host: Host) -> None:
    before = host.control()
    with load(host.gateway) as found:
        host.gateway.signal(signal.SIGHUP)
        wait_until(lambda: host.gateway.events("reloaded"))
        host.on_duty(2)
        wait_until(lambda: before not in controls(host.gateway))
        wait_for_more(found)
        assert host.admin("GET", "/admin/v1/keys").status_code == 200
    book_is_complete(host, found)
    assert host.gateway.metrics()["gateway_control_deaths_total"] == 0


def test_what_is_booked_last_is_booked_before_the_gateway_ends(host: Host) -> None:
    with load(host.gateway) as found:
        wait_until(lambda: len(found.answered) > 100)
    assert host.gateway.stop() == 0
    assert host.booked() == Counter(found.ids())
    assert not list((host.memory / "control").glob("*.sock"))


def test_a_control_process_ends_with_its_supervisor(host: Host) -> None:
    control = host.control()
    host.gateway.signal(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{control}").exists())
    # It heard of it and wrote down what there was, as the name of its socket shows, which it alone takes away.
    assert control in {event["pid"] for event in host.gateway.events("supervisor_died")}
    assert not list((host.memory / "control").glob("*.sock"))


def test_a_control_process_says_all_the_while_that_its_loop_turns(host: Host) -> None:
    descriptors = Path(f"/proc/{host.control()}/fd")
    pulse = next(link for link in descriptors.iterdir() if "gateway-pulse" in str(link.readlink()))
    (first,) = struct.unpack("d", pulse.read_bytes()[:8])
    wait_until(lambda: struct.unpack("d", pulse.read_bytes()[:8]) != (first,))
    (next_one,) = struct.unpack("d", pulse.read_bytes()[:8])
    assert next_one > first, "each says when it was"
