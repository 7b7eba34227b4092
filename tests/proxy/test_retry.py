"""Retries are a share of the requests, with a floor for quiet hours and a ceiling on what is saved up."""

from gateway.proxy.retry import RetryBudget
from tests.core.hand_time import HandTime


def spent(budget: RetryBudget, tries: int = 100) -> int:
    return sum(budget.spend() for _ in range(tries))


def test_ten_retries_are_saved_up_and_no_more() -> None:
    time = HandTime()
    budget = RetryBudget(time)
    time.advance(1000)
    for _ in range(1000):
        budget.note_request()
    assert spent(budget) == 10


def test_a_quiet_gateway_may_retry_three_times_a_second() -> None:
    time = HandTime()
    budget = RetryBudget(time)
    spent(budget)
    time.advance(1)
    assert spent(budget) == 3


def test_a_busy_gateway_may_retry_one_request_in_ten() -> None:
    budget = RetryBudget(HandTime())
    spent(budget)
    retries = 0
    for _ in range(1000):
        budget.note_request()
        retries += budget.spend()
    assert 98 <= retries <= 100


def test_what_is_left_is_a_share_that_grows_by_itself_and_is_not_changed_by_asking() -> None:
    time = HandTime()
    budget = RetryBudget(time)
    assert budget.left() == 1.0
    assert [budget.spend() for _ in range(8)] == [True] * 8
    assert budget.left() == 0.2
    time.advance(1)
    assert budget.left() == budget.left() == 0.5
    assert spent(budget) == 5
    time.advance(1000)
    assert budget.left() == 1.0
