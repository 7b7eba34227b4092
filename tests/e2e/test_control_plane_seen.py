"""What the control process does is seen: by clients whose keys are revoked, by operators, and by other hosts."""

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from tests.e2e.controlled import ADMIN, SETTINGS, Host, MakeHost, ask, controls, load
from tests.e2e.controlled import host as host  # noqa: PLC0414 -- a fixture
from tests.e2e.controlled import make_host as make_host  # noqa: PLC0414 -- a fixture
from tests.support.gateway import KEY, Gateway, RawClient, wait_until


@contextmanager
def one_client_of_each_worker(gateway: Gateway) -> Iterator[dict[int, RawClient]]:
    """A connection that stays open for each worker, by its number, which the ids of its requests tell."""
    wait_until(lambda: len(gateway.events("worker_serving")) == SETTINGS["GATEWAY_WORKERS"])
    numbers = {event["request_ids"]: int(event["worker"]) for event in gateway.events("worker_serving")}
    found: dict[int, RawClient] = {}
    with contextlib.ExitStack() as stack:
        while len(found) < len(numbers):  # who accepts is the kernel's choice; pytest's time-out ends it
            client = stack.enter_context(RawClient(gateway.port))
            _, name = ask(client)
            found.setdefault(numbers[name[: name.index("-") + 1]], client)
        yield found


def all_get(clients: Iterable[RawClient], key: str, status: int) -> bool:
    """Whether that is what the key gets on each connection."""
    return all(ask(client, key)[0] == status for client in clients)


def is_split(host: Host, value: int) -> bool:
    """Whether the metric says so."""
    return host.gateway.metrics()["gateway_limits_split"] == value


def test_a_revocation_is_seen_by_all_workers_within_a_second_under_load(host: Host) -> None:
    with load(host.gateway), one_client_of_each_worker(host.gateway) as clients:
        assert sorted(clients) == [0, 1, 2, 3]
        for _ in range(5):
            name, key = host.new_key()
            wait_until(partial(all_get, clients.values(), key, 200))
            assert host.admin("POST", f"/admin/v1/keys/{name}/revoke").status_code == 200
            begun = time.monotonic()
            wait_until(partial(all_get, clients.values(), key, 401))
            assert time.monotonic() - begun < 1.0


def test_wrong_admin_keys_are_counted_by_address(make_host: MakeHost) -> None:
    host = make_host(FAILED_AUTH_BURST=3, FAILED_AUTH_PER_SEC=0.001)
    statuses = [host.admin("GET", "/admin/v1/keys", headers={"X-Admin-Key": "wrong"}).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert host.admin("GET", "/admin/v1/keys").status_code == 200


def test_clients_see_their_own_usage_and_cannot_ask_for_anothers(host: Host) -> None:
    _, key = host.new_key()
    with RawClient(host.gateway.port) as client:
        wait_until(lambda: ask(client, key)[0] == 200)
    wait_until(host.booked)
    forged = {"x-gateway-principal": '{"organization": "org:acme"}', "authorization": f"Bearer {KEY}"}
    url = f"{host.gateway.url}/v1/usage"
    assert httpx.get(url, headers=forged, trust_env=False).json()["organization"] == "ip:127.0.0.1"
    own = httpx.get(url, headers={"authorization": f"Bearer {key}"}, trust_env=False).json()
    assert own["organization"] == "org:acme"
    assert sum(line["requests"] for line in own["data"]) == 1
    assert httpx.get(url, trust_env=False).status_code == 401


def test_two_hosts_on_one_database_without_redis_are_flagged(make_host: MakeHost, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    hosts = [make_host(name, DATABASE_URL=url, GATEWAY_WORKERS=1) for name in ("one", "two")]
    for each in hosts:
        wait_until(partial(is_split, each, 1))
        wait_until(each.gateway.well)
        report = each.gateway.report()
        assert (report["status"], report["reason"]) == ("degraded", "limits_split")
        assert len(report["limits_split_with"]) == 1
        wait_until(partial(each.gateway.events, "limits_split"))
    hosts[1].gateway.stop()
    wait_until(partial(is_split, hosts[0], 0), 60)
    assert hosts[0].gateway.report()["status"] == "ok"


def test_a_drain_is_seen_by_the_workers(host: Host) -> None:
    wait_until(host.gateway.well)
    assert host.admin("POST", "/admin/v1/backends/chat0/drain").status_code == 200
    wait_until(lambda: "draining" in host.gateway.states())
    assert host.admin("POST", "/admin/v1/backends/chat0/undrain").status_code == 200
    wait_until(host.gateway.well)


def test_an_idle_gateway_answers_operators_and_clients_all_through_a_reload(host: Host) -> None:
    before = host.control()
    host.gateway.signal(signal.SIGHUP)
    answers = Counter[int]()
    client = httpx.Client(base_url=host.gateway.url, trust_env=False, timeout=30)
    with client:
        while before in controls(host.gateway):
            answers[client.get("/admin/v1/limits", headers={"x-admin-key": ADMIN}).status_code] += 1
            answers[client.get("/v1/usage", headers={"authorization": f"Bearer {KEY}"}).status_code] += 1
    assert host.gateway.events("reloaded")
    assert set(answers) == {200}
    assert len(host.gateway.events("control_serving")) == 2
    assert host.gateway.metrics()["gateway_control_deaths_total"] == 0


def test_keys_that_a_new_database_url_leaves_behind_are_spoken_of(host: Host) -> None:
    host.new_key()
    host.gateway.stop()
    host.start(DATABASE_URL=f"sqlite:///{host.data}/other.db")
    (event,) = wait_until(lambda: host.gateway.events("keys_left_behind"))
    assert (event["file"], event["keys"]) == (str(host.data / "gateway.db"), 1)
    host.gateway.stop()
    host.start(DATABASE_URL="")
    assert host.admin("GET", "/admin/v1/keys").json()["data"]
    assert not host.gateway.events("keys_left_behind")
