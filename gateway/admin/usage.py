"""Who used how much? Reports for operators, as JSON or for a spreadsheet, and each client's own."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from gateway.admin.asking import House
from gateway.admin.gate import CALLER, CLIENTS_PATH, Caller
from gateway.admin.names import OrganizationId
from gateway.admin.paging import After, Limit, page_of
from gateway.admin.quotas import Quotas, standing_of
from gateway.admin.reports import From, KeyId, Reports, To, cursor_of, span_of
from gateway.admin.schemas.usage import Usage
from gateway.core.principal import KEY_ACCOUNT, UNLIMITED, AccountLimits
from gateway.core.usage_report import OwnUsage, UsageLine
from gateway.database.errors import NoSuchRecordError
from gateway.database.usage import By

COLUMNS = ("requests", "prompt_tokens", "completion_tokens", "total_tokens")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is a spreadsheet's to compute."""

Format = Annotated[Literal["json", "csv"], Query(alias="format", description="csv: the whole report, without pages.")]


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope[CALLER]
    return caller


Client = Annotated[Caller, Depends(_caller)]
"""The client that a worker relays for; the gate put it there."""


class UsageRoutes:
    """`/admin/v1/usage`, and `/v1/usage` for clients."""

    def __init__(self, house: House, quotas: Quotas) -> None:
        self._keys = house.database.keys
        self._live = house.live
        self._reports = Reports(house.database.usage, house.live)
        self._quotas = quotas

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(tags=["Usage"])
        router.add_api_route(
            "/admin/v1/usage",
            self.report_usage,
            methods=["GET"],
            response_model=Usage,
            responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
        )
        router.add_api_route(CLIENTS_PATH, self.own_usage, methods=["GET"])
        return router

    async def report_usage(  # noqa: PLR0913 -- to FastAPI the parameters of a query are those of a function
        self,
        *,
        by: By = "organization",
        first: From = None,
        last: To = None,
        organization: OrganizationId | None = None,
        key_id: KeyId = None,
        limit: Limit = 100,
        after: After = "",
        form: Format = "json",
    ) -> Response | Usage:
        """Requests and tokens by key, organization, model or day, booked within seconds of their end."""
        span = span_of(self._live, first, last)
        which: dict[str, Any] = {"by": by, "span": span, "organization": organization, "key_id": key_id}
        if form == "csv":
            name = f"usage-by-{by}-{span.first}-{span.last}.csv"
            return Response(
                await as_csv(by, self._reports.all_lines(**which)),
                media_type="text/csv",
                headers={"content-disposition": f'attachment; filename="{name}"'},
            )
        found = await self._reports.lines(**which, after=after, most=limit + 1)
        page = page_of(found, limit, _itself, cursor_of)
        return Usage(by=by, first_day=span.first, last_day=span.last, **dict(page) | {"object": "usage"})

    async def own_usage(
        self, client: Client, by: Literal["model", "day"] = "model", first: From = None, last: To = None
    ) -> OwnUsage:
        """What you have used yourself, by model or by day, and what is left of your limits."""
        span = span_of(self._live, first, last)
        lines = self._reports.all_lines(by=by, span=span, organization=client.organization, key_id=client.key_id)
        found = [line async for line in lines]
        quota = await self._quotas.of(client.organization)
        account = KEY_ACCOUNT + client.key_id
        limits = await self._limits_of(client) if client.key_id else UNLIMITED
        own = await self._live.standing(account, limits)
        return OwnUsage(
            organization=client.organization,
            key_id=client.key_id or None,
            by=by,
            first_day=span.first,
            last_day=span.last,
            data=found,
            organization_limits=quota.standings,
            key_limits=[standing_of(window) for window in own],
        )

    async def _limits_of(self, client: Caller) -> AccountLimits:
        try:
            return (await self._keys.get(client.key_id)).properties.limits
        except NoSuchRecordError:  # deleted a moment ago: what it used stays to be told
            return AccountLimits()


async def as_csv(by: By, lines: AsyncIterator[UsageLine]) -> str:
    """A report for a spreadsheet; whole, as the relay wants its length."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow((by, *COLUMNS))
    async for line in lines:
        heading = f"'{line.heading}" if line.heading.startswith(FORMULA) else line.heading
        table.writerow((heading, *(getattr(line, column) for column in COLUMNS)))
    return text.getvalue()


def _itself(line: UsageLine) -> UsageLine:
    return line
