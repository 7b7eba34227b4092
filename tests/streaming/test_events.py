"""What counts as an event?"""

import pytest

from gateway.streaming.events import Event, MalformedEventError, begins_as_event, is_comment, read_event


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (b"data: {}", Event(b"", b"{}")),
        (b"data:{}", Event(b"", b"{}")),
        (b"event: x\ndata: a: b", Event(b"x", b"a: b")),
        (b": ping\nid: 7\nretry: 1\ndata: {}", Event(b"", b"{}")),
        (b": ping", None),
        (b"event: x", None),
    ],
)
def test_an_event_is_taken_apart(raw: bytes, event: Event | None) -> None:
    assert read_event(raw) == event


@pytest.mark.parametrize("raw", [b"<html>", b"data", b"x: y", b"data: a\ndata: b", b" data: a"])
def test_what_vllm_never_sends_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedEventError):
        read_event(raw)


def test_comments_are_told_from_fields() -> None:
    assert is_comment(b": a\n: b")
    assert not is_comment(b": a\nid: 1")


@pytest.mark.parametrize(
    ("part", "can_be"),
    [(b"", True), (b"\n", True), (b"da", True), (b"data: {", True), (b": k", True), (b"<ht", False), (b"{", False)],
)
def test_an_unfinished_event_shows_by_its_beginning(part: bytes, *, can_be: bool) -> None:
    assert begins_as_event(part) is can_be
