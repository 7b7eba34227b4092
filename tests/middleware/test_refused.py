"""What the server refused by itself is recorded like any request, under the id that its client was told."""

from gateway.core.clock import SystemClock
from gateway.core.context import RequestContext
from gateway.core.worker import Refusals, Refused
from gateway.middleware.refused import recording


def test_a_refusal_is_recorded_once_with_what_is_known_of_it() -> None:
    recorded: list[RequestContext] = []
    clock = SystemClock()
    refusals = Refusals()
    refusals.listen(recording(recorded.append, clock))
    refusals.tell(Refused("id1", 431, "headers_too_large", "192.0.2.1", "/v1/models", 7.0))
    (ctx,) = recorded
    assert (ctx.request_id, ctx.status, ctx.outcome) == ("id1", 431, "headers_too_large")
    assert (ctx.client_ip, ctx.path, ctx.endpoint.path) == ("192.0.2.1", "/v1/models", "")
    assert 7.0 <= clock.monotonic() - ctx.started < 8.0


def test_nobody_need_listen() -> None:
    refusals, heard = Refusals(), list[Refused]()
    refusals.tell(Refused("id1", 400, "invalid_request", "", "", 0.0))
    refusals.listen(heard.append)
    refusals.tell(Refused("id2", 400, "invalid_request", "", "", 0.0))
    assert [refused.request_id for refused in heard] == ["id2"]  # nothing was kept for who came later
