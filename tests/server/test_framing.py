"""How a body is framed, and how much of one may be framing."""

import pytest

from gateway.server.framing import CONTENT_PER_FRAMING, Allowance, framing_alone


def test_a_head_is_told_again_by_its_framing_alone() -> None:
    headers = [(b"host", b"a"), (b"content-length", b"5"), (b"upgrade", b"h2c"), (b"connection", b"upgrade")]
    assert framing_alone(headers) == b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n"
    chunked = [(b"transfer-encoding", b"chunked"), (b"te", b"x")]
    assert framing_alone(chunked) == b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    assert framing_alone([]) == b"POST / HTTP/1.1\r\n\r\n"


def test_content_earns_framing_up_to_what_a_body_begins_with() -> None:
    allowance = Allowance(100)
    allowance.renew()
    assert allowance.spend(100, 0)
    assert allowance.spend(50, 40)  # forty bytes earn the ten around them
    assert allowance.spend(1000, 1000)
    assert allowance.spend(100, 0)
    assert not allowance.spend(1, 0)


@pytest.mark.parametrize(("size", "endless"), [(CONTENT_PER_FRAMING - 1, False), (6 * CONTENT_PER_FRAMING, True)])
def test_chunks_that_are_too_small_use_it_up(size: int, endless: bool) -> None:  # noqa: FBT001 -- a case
    allowance, line = Allowance(1000), len(b"%x\r\n\r\n" % size)
    allowance.renew()
    assert all(allowance.spend(size + line, size) for _ in range(10_000)) is endless


def test_a_body_that_was_not_announced_in_chunks_may_hold_no_framing() -> None:
    assert not Allowance(1000).spend(1, 0)
