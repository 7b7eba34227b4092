"""The load test's figures: what a stream's times say, what most requests saw, and when a run has failed."""

import pytest

from loadtest.figures import FIRST, Run, Stream, percentile


def test_a_stream_says_when_its_first_token_came_and_how_long_the_next_ones_took() -> None:
    stream = Stream(sent=10.0, tokens=[10.25, 10.5, 11.25])
    assert stream.first_ms() == 250.0
    assert stream.between_ms() == [250.0, 750.0]
    assert stream.rate() == 2.0


def test_without_tokens_there_is_no_time_and_with_one_there_is_no_rate() -> None:
    assert Stream(10.0).first_ms() is None
    assert Stream(10.0).between_ms() == []
    assert Stream(10.0, [11.0]).rate() is None
    assert Stream(10.0, [11.0, 11.0]).rate() is None


@pytest.mark.parametrize(("share", "value"), [(50, 50.0), (95, 95.0), (99, 99.0), (100, 100.0), (0, 1.0)])
def test_a_percentile_is_a_value_that_was_seen(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == value
    assert percentile([7.0], share) == 7.0


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)


def run_with(*first_ms: float) -> Run:
    run = Run(seconds=10.0, tokens=640)
    for value in first_ms:
        run.note("POST", "chat short", 1.0)
        run.note(FIRST, "chat short", value)
    return run


def test_a_run_within_its_bounds_is_a_success_and_says_its_throughput() -> None:
    run = run_with(*[100.0] * 99, 9000.0)
    assert run.objections() == []
    assert "| TTFT ms | chat short | 100 | 100.0 | 100.0 | 100.0 |" in run.table()
    assert "10.0 requests a second and 64 tokens a second over 10 s; 0 requests failed." in run.table()


def test_a_failed_request_a_late_token_and_no_token_at_all_are_failures() -> None:
    failed = run_with(100.0)
    failed.fail("chat: status 500")
    failed.fail("chat: status 500")
    assert failed.objections() == ["2 times: chat: status 500"]
    assert "2501 ms" in run_with(*[100.0] * 98, 2501.0, 2501.0).objections()[0]
    assert run_with().objections() == ["no stream has brought a token"]
