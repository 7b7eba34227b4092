"""A planned request, as far as the cache looks at it."""

from dataclasses import dataclass, field

from gateway.core.context import RequestContext
from gateway.core.endpoint import Endpoint
from gateway.core.lifeline import Lifeline
from tests.core.requests import EMBEDDINGS


@dataclass
class Route:
    asked: str = "embed"


@dataclass
class Plan:
    body: bytes
    route: Route = field(default_factory=Route)


def planned(
    *,
    organization: str = "ip:203.0.113.7",
    body: bytes = b'{"input":"a"}',
    endpoint: Endpoint = EMBEDDINGS,
    group: str = "embed",
    asked: str = "embed",
) -> RequestContext:
    """A request of no task."""
    return RequestContext(
        request_id="req1",
        endpoint=endpoint,
        lifeline=Lifeline(None),
        connection=None,
        started=1000.0,
        method="POST",
        path=endpoint.path,
        organization=organization,
        group=group,
        plan=Plan(body, Route(asked)),  # type: ignore[arg-type]  # the rest of a plan is not looked at
    )
