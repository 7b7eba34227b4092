"""The probes: what load balancers, Compose and operators are told."""

import httpx
import pytest

from gateway.api.fleet import KEYS_AWAITED_SECS, KEYS_UNKNOWN, KeysAwaited
from gateway.backends.circuit import Standing, Why
from gateway.backends.health import BackendHealth, Readiness, State
from gateway.backends.reasons import EXPLANATIONS, Reason, explain_circuit
from gateway.backends.view import FALLBACK, CircuitStatus
from gateway.core.clock import SystemClock
from tests.api.served import KEY, FleetByHand
from tests.core.hand_time import HandTime

pytestmark = pytest.mark.anyio


async def test_the_process_is_healthy_whatever_its_backends_are(client: httpx.AsyncClient, fleet: FleetByHand) -> None:
    fleet.readiness = Readiness(ready=False, reason="unreachable")
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_is_200_when_the_fleet_says_so(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "reason": "ok"})


async def test_ready_says_that_it_rests_on_a_fallback(client: httpx.AsyncClient, fleet: FleetByHand) -> None:
    fleet.readiness = Readiness(ready=True, reason=FALLBACK)
    answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["reason"]) == (200, "fallback")


async def test_a_fleet_that_nobody_watches_is_ready_as_it_was_and_degraded(
    client: httpx.AsyncClient, fleet: FleetByHand
) -> None:
    fleet.readiness = Readiness(ready=True, reason=Reason.NOT_WATCHED)
    for _, backend in fleet.roster.backends():
        fleet.health[backend.name] = BackendHealth(State.HEALTHY, Reason.NOT_WATCHED, since=0.0)
    fleet.circuits["chat0"] = CircuitStatus(Standing.OPEN, Why.FAILURES, 1.0)
    answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["reason"]) == (200, "not_watched")
    body = (await client.get("/health/detailed")).json()
    assert (body["status"], body["reason"]) == ("degraded", "not_watched")
    assert body["backends"][1]["explanation"] == EXPLANATIONS[Reason.NOT_WATCHED]


@pytest.mark.parametrize("reason", ["loading", "wrong_key", "draining"])
async def test_not_ready_is_a_503_with_its_reason(client: httpx.AsyncClient, fleet: FleetByHand, reason: str) -> None:
    fleet.readiness = Readiness(ready=False, reason=reason)
    answer = await client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == reason
    assert reason in answer.json()["error"]["message"]


async def test_nobody_is_sent_to_a_host_that_does_not_know_its_keys_yet_but_for_a_while(fleet: FleetByHand) -> None:
    clock = HandTime()
    known = False
    awaited = KeysAwaited(fleet, lambda: known, clock)
    assert awaited.ready() == Readiness(ready=False, reason=KEYS_UNKNOWN)
    known = True
    assert awaited.ready() == fleet.readiness
    known = False
    clock.advance(KEYS_AWAITED_SECS)
    assert awaited.ready() == fleet.readiness
    assert [status.backend for status in awaited.statuses()] == [status.backend for status in fleet.statuses()]


async def test_what_is_wrong_with_the_fleet_is_said_before_what_is_not_known_of_keys(fleet: FleetByHand) -> None:
    fleet.readiness = Readiness(ready=False, reason="loading")
    assert KeysAwaited(fleet, lambda: False, HandTime()).ready().reason == "loading"


async def test_a_host_that_does_not_know_its_keys_says_so(client: httpx.AsyncClient, fleet: FleetByHand) -> None:
    fleet.readiness = Readiness(ready=False, reason=KEYS_UNKNOWN)
    told = (await client.get("/ready")).json()["error"]
    assert (told["code"], "API key" in told["message"]) == (KEYS_UNKNOWN, True)


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


@pytest.mark.parametrize(
    ("chat0", "chat1", "reason"),
    [
        (Reason.OK, Reason.OK, "ok"),
        (Reason.OK, Reason.WRONG_KEY, "wrong_key"),
        (Reason.DRAINING, Reason.STALLED, "stalled"),
        (Reason.NOT_PROBED, Reason.DRAINING, "draining"),
    ],
)
async def test_the_fleets_reason_is_that_of_the_worst_backend(
    client: httpx.AsyncClient, fleet: FleetByHand, chat0: Reason, chat1: Reason, reason: str
) -> None:
    states = {Reason.OK: State.HEALTHY, Reason.DRAINING: State.DRAINING, Reason.NOT_PROBED: State.LOADING}
    for name, one in (("chat0", chat0), ("chat1", chat1)):
        fleet.health[name] = BackendHealth(states.get(one, State.DOWN), one, since=0.0)
    fleet.circuits["rerank"] = CircuitStatus() if reason == "ok" else CircuitStatus(Standing.OPEN, Why.FAILURES, 1.0)
    assert (await client.get("/health/detailed")).json()["reason"] == reason


@pytest.mark.parametrize(("standing", "later"), [(Standing.OPEN, 20.0), (Standing.HALF_OPEN, -5.0)])
async def test_a_circuit_that_is_not_closed_is_told_and_the_fleet_is_degraded(
    client: httpx.AsyncClient, fleet: FleetByHand, standing: Standing, later: float
) -> None:
    fleet.circuits["chat0"] = CircuitStatus(standing, Why.FAILURES, SystemClock.monotonic() + later)
    body = (await client.get("/health/detailed")).json()
    assert (body["status"], body["reason"]) == ("degraded", f"circuit_{standing}")
    chat0, chat1 = body["backends"][:2]
    assert (chat0["state"], chat0["circuit"], chat0["why"]) == ("healthy", standing, "failures")
    assert max(later - 10, 0) <= chat0["retry_in_secs"] <= max(later, 0)
    assert chat0["explanation"] == f"{EXPLANATIONS[Reason.OK]} {explain_circuit(standing, Why.FAILURES)}"
    assert (chat1["circuit"], chat1["why"], chat1["retry_in_secs"]) == ("closed", None, None)
    assert chat1["explanation"] == EXPLANATIONS[Reason.OK]


@pytest.mark.parametrize("why", list(Why))
@pytest.mark.parametrize("standing", [Standing.OPEN, Standing.HALF_OPEN])
def test_every_circuit_has_a_sentence(standing: Standing, why: Why) -> None:
    sentence = explain_circuit(standing, why)
    assert standing.replace("_", "-") in sentence
    assert sentence.endswith(".")


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
