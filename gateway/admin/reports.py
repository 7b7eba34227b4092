"""How is the ledger read? Reports over whole days of the operator's calendar, by page."""

import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Annotated, NamedTuple

from fastapi import Query
from pydantic import BeforeValidator

from gateway.admin.live import Live
from gateway.admin.paging import MAX_PAGE
from gateway.core.errors import BadRequestError
from gateway.core.usage_report import UsageLine
from gateway.database.rows import Usage
from gateway.database.usage import By, Ledger

MAX_DAYS = 1100
"""Three years: USAGE_DAILY_RETENTION_DAYS keeps no more by default."""
EARLIEST = date(2000, 1, 1)
LATEST = date(9000, 1, 1)
ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
UNNAMED = " "
"""Stands for an empty heading where a page begins: sorts behind it, and before any other."""


def _iso(value: object) -> object:
    """Dates as `2026-11-21` alone: a number would be taken for seconds since 1970."""
    if not isinstance(value, str) or not ISO.fullmatch(value):
        raise ValueError("must be a date like 2026-11-21")
    return value


Day = Annotated[date, BeforeValidator(_iso)]
From = Annotated[Day | None, Query(alias="from", description="The first day, as 2026-11-01; without it the month's.")]
To = Annotated[Day | None, Query(alias="to", description="The last day; without it today.")]

KeyId = Annotated[
    str | None, Query(alias="key", max_length=64, pattern=r"^[a-z0-9_]*$", description="Of this key alone.")
]


class Span(NamedTuple):
    """Whole days, the first and the last included."""

    first: date
    last: date


def span_of(live: Live, first: date | None, last: date | None) -> Span:
    """The days that are meant: this month's until today, unless they are stated.

    Raises:
        BadRequestError: they are none, or too many.
    """
    last = last or live.today()
    first = first or last.replace(day=1)
    if not EARLIEST <= first <= last <= LATEST or last - first >= timedelta(days=MAX_DAYS):
        raise BadRequestError(
            f"from: must be {EARLIEST} or later, not after `to`, and {MAX_DAYS} days at the most before it.",
            param="from",
        )
    return Span(first, last)


class Reports:
    """The ledger's reports with dates for ordinals."""

    def __init__(self, ledger: Ledger, live: Live) -> None:
        self._ledger = ledger
        self._live = live

    async def lines(
        self,
        *,
        by: By,
        span: Span,
        organization: str | None = None,
        key_id: str | None = None,
        after: str = "",
        most: int,
    ) -> list[UsageLine]:
        """A page of a report; `after` is the last heading of the page before."""
        found = await self._ledger.report(
            by=by,
            first=self._live.ordinal(span.first),
            last=self._live.ordinal(span.last),
            organization=organization,
            key_id=key_id,
            after=self._cursor(by, after),
            most=most,
        )
        return [self._line(by, one) for one in found]

    async def all_lines(
        self, *, by: By, span: Span, organization: str | None = None, key_id: str | None = None
    ) -> AsyncIterator[UsageLine]:
        """The whole report, read in pages."""
        after = ""
        while True:
            page = await self.lines(
                by=by, span=span, organization=organization, key_id=key_id, after=after, most=MAX_PAGE
            )
            for line in page:
                yield line
            if len(page) < MAX_PAGE:
                return
            after = cursor_of(page[-1])

    def _cursor(self, by: By, after: str) -> str:
        if by != "day" or not after:
            return after
        try:
            return str(self._live.ordinal(date.fromisoformat(after)))
        except (ValueError, OverflowError):
            raise BadRequestError("after: must be a date like 2026-11-21.", param="after") from None

    def _line(self, by: By, usage: Usage) -> UsageLine:
        heading = self._live.date_of(int(usage.heading)).isoformat() if by == "day" else usage.heading
        return UsageLine(
            heading=heading,
            requests=usage.requests,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
        )


def cursor_of(line: UsageLine) -> str:
    """Where the page behind this line begins."""
    return line.heading or UNNAMED
