"""A worker goes away in two moments, each told once."""

from gateway.core.worker import Drain, WorkerIdentity


def test_a_drain_first_refuses_and_later_ends() -> None:
    drain, told = Drain(), list[str]()
    drain.on_deadline(lambda: told.append("first"))
    drain.on_deadline(lambda: told.append("second"))
    assert not drain.draining
    drain.begin()
    assert drain.draining
    assert told == []
    drain.end()
    assert told == ["first", "second"]


def test_the_deadline_is_told_once() -> None:
    drain, told = Drain(), list[int]()
    drain.on_deadline(lambda: told.append(1))
    drain.end()
    drain.end()
    assert told == [1]


def test_every_worker_has_a_drain_of_its_own() -> None:
    assert WorkerIdentity().drain is not WorkerIdentity().drain
