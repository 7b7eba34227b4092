"""Every reason for a refusal is some failure's, and no failure that is no refusal has one."""

import pytest

from gateway.auth.key_directory import KeysUnavailableError
from gateway.cache.verdict import CUT, SharedFailureError, Verdict
from gateway.core.errors import (
    GatewayError,
    QueueFullError,
    QueueTimeoutError,
    RateLimitedError,
    ShuttingDownError,
)
from gateway.core.refusal import Refusal
from gateway.limits.catalogue import ROWS
from gateway.limits.token_bucket import TooManyFailuresError
from gateway.middleware.read_body import NoRoomError
from gateway.proxy.unavailable import (
    BusyError,
    DownError,
    NoFreeSeatError,
    SeatsTakenError,
    SuspectedError,
    UnreachableError,
)
from gateway.store.errors import StoreUnavailableError
from gateway.upstream.errors import PoolExhausted

REFUSING: dict[type[GatewayError], Refusal] = {
    RateLimitedError: Refusal.RATE,
    QueueFullError: Refusal.QUEUE_FULL,
    QueueTimeoutError: Refusal.QUEUE_TIMEOUT,
    TooManyFailuresError: Refusal.FAILED_AUTH,
    DownError: Refusal.NO_BACKEND,
    SuspectedError: Refusal.NO_BACKEND,
    UnreachableError: Refusal.NO_BACKEND,
    BusyError: Refusal.BACKENDS_BUSY,
    NoFreeSeatError: Refusal.BACKEND_QUEUE,
    SeatsTakenError: Refusal.BACKEND_QUEUE,
    NoRoomError: Refusal.BODIES,
    PoolExhausted: Refusal.CONNECTIONS,
    StoreUnavailableError: Refusal.STORE,
    KeysUnavailableError: Refusal.KEYS,
    ShuttingDownError: Refusal.SHUTTING_DOWN,
}
OF_ROWS = {
    "requests_per_minute": Refusal.REQUESTS,
    "tokens_per_minute": Refusal.TOKENS,
    "requests_per_day": Refusal.DAY,
    "tokens_per_day": Refusal.DAY,
    "requests_per_month": Refusal.MONTH,
    "tokens_per_month": Refusal.MONTH,
}


@pytest.mark.parametrize(("error", "refusal"), REFUSING.items(), ids=lambda one: getattr(one, "__name__", one))
def test_a_failure_says_what_it_is_about(error: type[GatewayError], refusal: Refusal) -> None:
    assert error.refusal is refusal


def test_a_limit_of_an_account_has_its_own() -> None:
    assert {field: row.refusal for field, row in ROWS.items()} == OF_ROWS


def test_who_waited_for_another_was_refused_only_if_that_was() -> None:
    assert SharedFailureError(CUT).refusal is Refusal.SHARED
    assert SharedFailureError(Verdict(429, "queue_full")).refusal is Refusal.SHARED
    assert SharedFailureError(Verdict(502, "bad_gateway")).refusal is None


def test_every_reason_is_some_failures() -> None:
    known = {*REFUSING.values(), *OF_ROWS.values(), Refusal.SHARED, Refusal.KEY_SLOTS}
    assert known == set(Refusal)


def test_what_is_the_requests_own_fault_is_no_refusal() -> None:
    assert GatewayError.refusal is None
