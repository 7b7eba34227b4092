"""How is a request recorded that never became one? What the server refuses by itself, as a line and a count."""

from collections.abc import Callable

from gateway.core.clock import Clock
from gateway.core.context import Phase, RequestContext
from gateway.core.lifeline import Lifeline
from gateway.core.worker import Refused
from gateway.middleware.request_scope import UNKNOWN, Record


def recording(record: Record, clock: Clock) -> Callable[[Refused], None]:
    """Has every refusal recorded once, under the id that its client was told.

    The client is the socket's other end: behind a proxy that is the proxy, as no header was read that could say more.
    """

    def tell(refused: Refused) -> None:
        record(
            RequestContext(
                request_id=refused.request_id,
                endpoint=UNKNOWN,
                lifeline=Lifeline(None),
                connection=None,
                started=clock.monotonic() - refused.seconds,
                method="",
                path=refused.target.partition("?")[0],  # no query is logged: clients write keys there
                peer=refused.peer,
                client_ip=refused.peer,
                phase=Phase.DONE,
                status=refused.status,
                outcome=refused.outcome,
                answer_started=True,
                answer_complete=True,
            )
        )

    return tell
