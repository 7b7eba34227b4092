"""May it use so much? What a request may take is set aside in its accounts, and settled when it has ended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.errors import RateLimitedError
from gateway.core.usage_record import encode_usage
from gateway.limits import catalogue, settlement
from gateway.limits.allowances import Allowances
from gateway.limits.calendar import Calendar, Period, zone_of
from gateway.limits.reckoning import BYTES_PER_TOKEN, Reckoner
from gateway.limits.tightest import Display
from gateway.limits.token_bucket import request_bucket
from gateway.store.accounts import Accounts, Claim, OverLimitError, Reservation, Will

if TYPE_CHECKING:
    from gateway.limits.settings import LimitsSettings

MOST_TOKENS = 2**40
"""No request takes more, whatever it asks for."""

WORKER_DIED = "worker_died"


class QuotaExceededError(RateLimitedError):
    """A calendar quota has too little left: no retry helps before it renews."""

    type = "insufficient_quota"
    code = "insufficient_quota"


class Quotas:
    """The limits of keys and organizations.

    Args:
        settings: what an organization may use by default, and how answers are estimated.
        accounts: where it is counted.
        allowances: what who asks may use.
        clock: for durations; times of day are those of the accounts.
        journaled: whether usage is recorded for a ledger; where nobody would take the records away, it is not.
    """

    def __init__(
        self, settings: "LimitsSettings", accounts: Accounts, allowances: Allowances, clock: Clock, *, journaled: bool
    ) -> None:
        self._accounts = accounts
        self._allowances = allowances
        self._wall = accounts.wall
        self._calendar = Calendar(zone_of(settings.quota_timezone))
        self._per_choice = settings.max_estimated_tokens
        self._journaled = journaled
        self._reckoner = Reckoner(settings.max_estimated_tokens, clock.monotonic)
        bucket = request_bucket(settings)
        self._display = Display(0.0 if bucket is None else bucket.capacity)

    def draw(self, ctx: RequestContext) -> Reservation | None:
        """What `reserve` does, where this worker holds enough for it already; None: it has to be asked."""
        caller = self._allowances.caller(ctx.organization, ctx.principal)
        balance = caller.balance
        if balance is None:
            return None
        wall = self._wall()
        if not balance.begins <= wall < balance.ends:
            return None
        prompt, tokens, record = self._asked(ctx, wall)
        reservation = balance.share.draw(tokens, prompt, record)
        if reservation is None:
            caller.balance = None
        else:
            balance.show(ctx.answer_headers, wall)
        return reservation

    async def reserve(self, ctx: RequestContext) -> Reservation:
        """Set aside what a planned request may take, and add what is left to its answer's fields.

        Raises:
            QuotaExceededError: a quota of the calendar has too little left.
            RateLimitedError: a limit per minute has too little left now.
            StoreUnavailableError: it cannot be counted.
        """
        wall = self._wall()
        period = self._calendar.at(wall)
        prompt, tokens, record = self._asked(ctx, wall)
        caller = self._allowances.caller(ctx.organization, ctx.principal)
        claims = caller.claims
        windows = period.windows
        try:
            reservation = await self._accounts.reserve(
                claims, tokens=tokens, windows=windows, will=Will(prompt, record)
            )
        except OverLimitError as over:
            self._display.show(ctx.answer_headers, caller.limits, over.standings, (wall, period))
            raise self._refusal(over, claims, tokens, period) from None
        self._display.show(ctx.answer_headers, caller.limits, reservation.used(), (wall, period))
        if reservation.unused_requests:  # out of a share, of which more is left
            share = self._accounts.lent(claims, windows)
            caller.balance = None if share is None else self._display.balance(caller.limits, share, period)
        return reservation

    def _asked(self, ctx: RequestContext, wall: float) -> tuple[int, int, bytes]:
        """Tokens of its prompt, those that it may take in all, and what is booked if nobody lives to settle it.

        That is a `UsageRecord`, made of a tuple as in `settle`: at 800 instructions less.
        """
        endpoint = ctx.endpoint
        tokens = prompt = len(ctx.plan.body) // BYTES_PER_TOKEN if endpoint.uses_engine else 0
        if endpoint.streams:
            peeked = ctx.plan.peeked
            stated, choices = peeked.max_tokens, peeked.n
            if choices > 0:  # fewer are for the backend to refuse, and so is a bound below 0
                tokens += (self._per_choice if stated is None else stated) * choices * peeked.prompts
            if not prompt <= tokens <= MOST_TOKENS:
                tokens = MOST_TOKENS if tokens > prompt else prompt
        if not self._journaled:
            return prompt, tokens, b""
        path, key_id = endpoint.path, ctx.principal.key_id
        record = (ctx.request_id, wall, ctx.organization, key_id, ctx.group, path, 0, WORKER_DIED, prompt, 0, True)
        return prompt, tokens, encode_usage(record)

    def settle(self, ctx: RequestContext, reservation: Reservation, failure: BaseException | None) -> None:
        """Put what a request cost in the place of what was reserved for it; never raises.

        Args:
            ctx: the request, which has ended but for what the error boundary may say of it.
            reservation: of what was set aside for it.
            failure: what it has ended with.
        """
        usage = ctx.usage
        if usage is not None and ctx.cache is None:
            requests, prompt, completion, estimated = 1, usage.prompt_tokens, usage.completion_tokens, False
            if self._reckoner.lessons:
                self._reckoner.learn(ctx, usage)
        else:
            requests, prompt, completion, estimated = settlement.cost_without_usage(ctx, self._reckoner.reckon, failure)
        record = None
        if requests and self._journaled:
            status, outcome = settlement.words(ctx, failure)
            record = encode_usage(
                (
                    ctx.request_id,
                    self._wall(),
                    ctx.organization,
                    ctx.principal.key_id,
                    ctx.group,
                    ctx.endpoint.path,
                    status,
                    outcome,
                    prompt,
                    completion,
                    estimated,
                    ctx.backend or "",
                    ctx.cache is not None,
                    reservation.windows[0][0],  # the day of the organization's account
                )
            )
        self._accounts.settle(reservation, requests=requests, tokens=prompt + completion, record=record)

    def _refusal(self, over: OverLimitError, claims: Sequence[Claim], tokens: int, period: Period) -> RateLimitedError:
        row = catalogue.ROWS[over.field]
        error = self._error(over, row, claims[over.claim], tokens, period)
        error.refusal = row.refusal
        return error

    def _error(
        self, over: OverLimitError, row: catalogue.Row, claim: Claim, tokens: int, period: Period
    ) -> RateLimitedError:
        account, limits = claim
        limit: int = getattr(limits, over.field)
        if row.window == "minute":
            if over.retry_after is None:
                return RateLimitedError(catalogue.too_large(account, row, limit, tokens), should_retry=False)
            return RateLimitedError(catalogue.rate_reached(account, row, limit), retry_after=over.retry_after)
        used: int = getattr(over.standings[over.claim], f"{row.window}_{row.unit}")
        renews = self._calendar.say(period.day_ends if row.window == "day" else period.month_ends)
        return QuotaExceededError(
            catalogue.quota_used_up(account, row, max(limit - used, 0), limit, renews), should_retry=False
        )
