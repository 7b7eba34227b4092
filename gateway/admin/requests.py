"""Which single requests were booked? Read from the ledger's sheets, by page."""

from fastapi import APIRouter

from gateway.admin.asking import House
from gateway.admin.names import OrganizationId
from gateway.admin.paging import After, Limit
from gateway.admin.reports import From, KeyId, To, span_of
from gateway.admin.schemas.common import moment
from gateway.admin.schemas.usage import UsedRequest, UsedRequests
from gateway.core.errors import BadRequestError
from gateway.core.usage_record import LAST_SECOND, UsageRecord
from gateway.database.rows import Place

MOST_NUMBER = 2**31
MARK = "~"
"""Between the parts of a place in the list, in none of which it stands."""


class RequestRoutes:
    """`/admin/v1/usage/requests`."""

    def __init__(self, house: House) -> None:
        self._ledger = house.database.usage
        self._live = house.live

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(tags=["Usage"])
        router.add_api_route("/admin/v1/usage/requests", self.list_requests, methods=["GET"])
        return router

    async def list_requests(
        self,
        first: From = None,
        last: To = None,
        organization: OrganizationId | None = None,
        key_id: KeyId = None,
        limit: Limit = 100,
        after: After = "",
    ) -> UsedRequests:
        """Single requests with what they took, newest first; kept for USAGE_RETENTION_DAYS.

        A page looks at a bounded part of the ledger, so that one with few requests of what was asked for, or none, may
        be followed by others.
        """
        span = span_of(self._live, first, last)
        found, place = await self._ledger.requests(
            since=self._live.begins(span.first),
            until=self._live.begins(self._live.date_of(self._live.ordinal(span.last) + 1)),
            organization=organization,
            key_id=key_id,
            after=place_of(after) if after else None,
            most=limit,
        )
        return UsedRequests(
            first_day=span.first,
            last_day=span.last,
            data=[shown(record) for record in found],
            has_more=place is not None,
            last_id=None if place is None else cursor_of(place),
        )


def shown(record: UsageRecord) -> UsedRequest:
    """A request as it is shown."""
    return UsedRequest(
        request_id=record.request_id,
        ended_at=moment(record.ended_at),
        organization=record.organization,
        key_id=record.key_id or None,
        model=record.model,
        path=record.path,
        status=record.status,
        outcome=record.outcome,
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        estimated=record.estimated,
        backend=record.backend or None,
        cached=record.cached,
    )


def cursor_of(place: Place) -> str:
    """A place as `last_id` has it."""
    return MARK.join((repr(place.last_at), place.sheet, str(place.number)))


def place_of(cursor: str) -> Place:
    """The reverse.

    Raises:
        BadRequestError: it is none.
    """
    try:
        last_at, sheet, number = cursor.split(MARK)
        place = Place(float(last_at), sheet, int(number))
    except ValueError:
        place = None
    if place is None or not (0 <= place.last_at <= LAST_SECOND and 0 <= place.number <= MOST_NUMBER):
        raise BadRequestError("after: must be `last_id` of the page before.", param="after")
    return place
