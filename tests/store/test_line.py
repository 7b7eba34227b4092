"""Nobody overtakes, and nobody starts above the limit."""

from gateway.store.line import heads_due, may_start


def test_a_newcomer_starts_only_when_a_slot_is_free_and_nobody_waits() -> None:
    assert may_start(in_flight=1, queued=0, limit=2)
    assert not may_start(in_flight=2, queued=0, limit=2)
    assert not may_start(in_flight=0, queued=1, limit=2)


def test_as_many_are_called_as_slots_are_free() -> None:
    assert heads_due(in_flight=1, queued=5, limit=3) == 2
    assert heads_due(in_flight=1, queued=1, limit=3) == 1
    assert heads_due(in_flight=3, queued=5, limit=3) == 0
    assert heads_due(in_flight=5, queued=5, limit=3) == 0
    assert heads_due(in_flight=0, queued=0, limit=3) == 0
