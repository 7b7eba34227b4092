"""Can strangers make `/metrics` grow? By no model, path, organization or key that they make up, however many."""

from collections import defaultdict

import pytest

from gateway.observability.families.catalogue import CATALOGUE
from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, in_threads, wait_until

SERVERS = ("chat0",)
IN_MAKE_TEST, IN_MAKE_CHAOS = 600, 10_000
CLIENTS = 4
SHOWN = 5
SETTINGS: dict[str, object] = {
    "GATEWAY_WORKERS": 2,
    "MAX_RPS_PER_IP": 100_000,
    "RPS_BURST": 100_000,
    "FAILED_AUTH_BURST": 100_000,
    "METRICS_ORGANIZATIONS": SHOWN,
    "TRUSTED_PROXIES": "127.0.0.1/32",
}
BODY = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
BY_ORGANIZATION = {family.name for family in CATALOGUE if "organization" in family.labels}


def visit(gateway: Gateway, numbers: range) -> None:
    """So many strangers, each from an address of its own."""

    def stranger(thread: int) -> None:
        with gateway.client() as client:
            for number in numbers[thread::CLIENTS]:
                client.headers["x-forwarded-for"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
                assert client.post("/v1/chat/completions", json=BODY).status_code == 200
                assert client.post("/v1/chat/completions", json={**BODY, "model": f"m-{number}"}).status_code == 404
                assert client.get(f"/made/up/{number}?{number}").status_code == 404
                key = {"authorization": f"Bearer sk-{number}"}
                assert client.post("/v1/chat/completions", json=BODY, headers=key).status_code == 401

    with in_threads(CLIENTS, stranger) as failures:
        pass
    assert failures == []


def shown(gateway: Gateway) -> tuple[set[str], dict[str, set[str]]]:
    """The samples that have no organization, and each family's organizations."""
    others, organizations = set(), defaultdict(set)
    for sample in gateway.metrics():
        name, _, labels = sample.partition("{")
        if name in BY_ORGANIZATION:
            organizations[name].add(labels.partition('organization="')[2].partition('"')[0])
        else:
            others.add(sample)
    return others, organizations


@pytest.mark.timeout(600)
def test_what_strangers_make_up_adds_no_series(
    fleet: Fleet, make_gateway: MakeGateway, request: pytest.FixtureRequest
) -> None:
    gateway = make_gateway(fleet, **SETTINGS)
    wait_until(gateway.well)
    wait_until(lambda: 'gateway_usage_records_total{fate="lost"}' in gateway.metrics())  # the control process is there
    visit(gateway, range(50))
    wait_until(lambda: "other" in shown(gateway)[1]["gateway_organization_in_flight"])
    before, _ = shown(gateway)
    whole = request.config.pluginmanager.hasplugin("tests.chaos.plugin")
    visit(gateway, range(50, IN_MAKE_CHAOS if whole else IN_MAKE_TEST))
    wait_until(gateway.idle)
    after, organizations = shown(gateway)
    assert after - before == set()
    assert set(organizations) <= BY_ORGANIZATION
    for name, found in organizations.items():
        assert len(found) <= SHOWN + 1, name
