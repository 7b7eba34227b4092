"""The probes: what load balancers, Compose and operators are told."""

import httpx
import pytest

from gateway.backends.health import BackendHealth, Readiness, State
from gateway.backends.reasons import EXPLANATIONS, Reason
from tests.api.served import KEY, FleetByHand

pytestmark = pytest.mark.anyio


async def test_the_process_is_healthy_whatever_its_backends_are(client: httpx.AsyncClient, fleet: FleetByHand) -> None:
    fleet.readiness = Readiness(ready=False, reason="unreachable")
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_is_200_when_the_fleet_says_so(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize("reason", ["loading", "wrong_key", "draining"])
async def test_not_ready_is_a_503_with_its_reason(client: httpx.AsyncClient, fleet: FleetByHand, reason: str) -> None:
    fleet.readiness = Readiness(ready=False, reason=reason)
    answer = await client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == reason
    assert reason in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/health", "/ready", "/health/detailed"])
@pytest.mark.parametrize("ready", [True, False])
async def test_no_verdict_is_cached(client: httpx.AsyncClient, fleet: FleetByHand, path: str, *, ready: bool) -> None:
    fleet.readiness = Readiness(ready=ready, reason="loading")
    assert (await client.get(path)).headers["cache-control"] == "no-store"


async def test_every_backend_is_reported_with_state_reason_and_latency(
    client: httpx.AsyncClient, fleet: FleetByHand
) -> None:
    fleet.health["chat1"] = BackendHealth(State.DOWN, Reason.WRONG_KEY, since=0.0)
    body = (await client.get("/health/detailed")).json()
    reports = {report["name"]: report for report in body["backends"]}
    assert list(reports) == ["chat0", "chat1", "text2sql", "embed", "rerank"]
    assert reports["chat0"]["latency_ms"] == 4.2
    assert reports["chat0"]["since_secs"] > 0
    assert [reports["chat0"][name] for name in ("in_flight", "running", "waiting")] == [3, 5, 1]
    wrong = reports["chat1"]
    assert (wrong["running"], wrong["waiting"]) == (None, None)
    assert (wrong["state"], wrong["reason"], wrong["latency_ms"]) == ("down", "wrong_key", None)
    assert wrong["explanation"] == EXPLANATIONS[Reason.WRONG_KEY]


@pytest.mark.parametrize(
    ("ready", "chat1", "status"),
    [
        (True, State.HEALTHY, "ok"),
        (True, State.BUSY, "ok"),
        (True, State.DRAINING, "degraded"),
        (True, State.DOWN, "degraded"),
        (False, State.DOWN, "unavailable"),
    ],
)
async def test_the_whole_fleet_has_one_word(
    client: httpx.AsyncClient, fleet: FleetByHand, chat1: State, status: str, *, ready: bool
) -> None:
    fleet.readiness = Readiness(ready=ready, reason="ok")
    fleet.health["chat1"] = BackendHealth(chat1, Reason.OK, since=0.0)
    assert (await client.get("/health/detailed")).json()["status"] == status


@pytest.mark.parametrize("state", list(State))
async def test_every_state_can_be_reported(client: httpx.AsyncClient, fleet: FleetByHand, state: State) -> None:
    fleet.health["chat0"] = BackendHealth(state, Reason.OK, since=0.0)
    assert (await client.get("/health/detailed")).json()["backends"][0]["state"] == state


@pytest.mark.parametrize("path", ["/health", "/ready", "/health/detailed", "/openapi.json", "/v1/models"])
async def test_no_answer_holds_the_backends_key(client: httpx.AsyncClient, path: str) -> None:
    assert KEY not in (await client.get(path)).text


@pytest.mark.parametrize("path", ["/health", "/ready", "/health/detailed", "/openapi.json", "/v1/models", "/docs"])
async def test_no_answer_holds_a_backends_address(client: httpx.AsyncClient, path: str) -> None:
    text = (await client.get(path)).text
    assert ":8000" not in text
    assert "http://chat0" not in text
