"""What did one request use? The record that is handed from the worker to the ledger, exactly once."""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct, msgpack

from gateway.core.usage import MAX_TOKENS

LAST_SECOND = 2**37
"""Some time in the year 6325: calendars end in 9999."""

LAST_DAY = date.max.toordinal()

Second = Annotated[float, Meta(ge=0, le=LAST_SECOND)]
Day = Annotated[int, Meta(ge=0, le=LAST_DAY)]
Tokens = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
"""What is beyond is refused where a record is read, so that no other one is held up by it."""


class UsageRecord(Struct, frozen=True, array_like=True, gc=False):
    """One finished request, as it is booked.

    Attributes:
        request_id: unique over all workers and restarts.
        ended_at: seconds since 1970.
        organization: who is charged: `ip:...` or `org:...`.
        key_id: of the API key that was shown; empty for GATEWAY_API_KEY.
        model: the group's name, from a bounded set.
        path: of the endpoint, from a bounded set.
        status: of the answer; 499: the client left before it began.
        outcome: one word, as in the access log; `worker_died` where nobody lived to say it.
        prompt_tokens: as the backend stated them, else as estimated.
        completion_tokens: likewise; of an aborted answer, those stated so far.
        estimated: the backend stated no figures.
        backend: which one answered; empty for none.
        cached: answered without a backend.
        day: in which it counts, as `date.toordinal` numbers days: that of the operator's calendar in which it began. 0:
            that of `ended_at`, which is when it began where nobody lived to say more.
    """

    request_id: str
    ended_at: Second = 0.0
    organization: str = ""
    key_id: str = ""
    model: str = ""
    path: str = ""
    status: int = 0
    outcome: str = ""
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0
    estimated: bool = False
    backend: str = ""
    cached: bool = False
    day: Day = 0


encode_usage = msgpack.Encoder().encode
"""A record's bytes, as the journal holds them."""

decode_usage = msgpack.Decoder(UsageRecord).decode
"""The record of such bytes. Raises msgspec.MsgspecError."""
