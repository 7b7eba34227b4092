"""A failure carries what its answer needs, and shares nothing with the next one."""

from gateway.core.errors import GatewayError, InvalidJsonError, QueueFullError, RateLimitedError


def test_a_failure_knows_its_status_code_and_words() -> None:
    error = InvalidJsonError("It is no JSON.", param="messages")
    assert (error.status, error.code, error.param, str(error)) == (400, "invalid_json", "messages", "It is no JSON.")
    assert (error.retry_after, error.should_retry, error.headers) == (None, None, [])


def test_fields_of_one_answer_do_not_reach_another() -> None:
    GatewayError("x").headers.append((b"allow", b"GET"))
    assert GatewayError("x").headers == []


def test_what_the_queue_refuses_is_the_callers_own_limit() -> None:
    assert issubclass(QueueFullError, RateLimitedError)
    assert QueueFullError.status == 429


def test_a_failure_is_counted_under_its_code() -> None:
    assert QueueFullError("x").outcome == "queue_full"
