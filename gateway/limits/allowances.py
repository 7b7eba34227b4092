"""In which accounts does a request count, and what may they use? Its organization's, and its key's if it has one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from gateway.catalog.errors import CatalogUnavailableError
from gateway.core.principal import KEY_ACCOUNT, AccountLimits, Principal
from gateway.limits.tightest import Balance, Limits, limits_of
from gateway.store.accounts import Claim

if TYPE_CHECKING:
    from gateway.limits.settings import LimitsSettings

MAX_REMEMBERED = 8192
"""Callers that a worker keeps: looking an organization up takes 4 us."""


class Organizations(Protocol):
    """What is asked of the catalog."""

    @property
    def version(self) -> Callable[[], int]:
        """Gives another number after any change."""
        ...

    def organization(self, name: str) -> AccountLimits | None:
        """Its own limits; None: the settings' hold. Raises CatalogUnavailableError."""
        ...


class Caller(Struct, eq=False):
    """Who asks, as limits see it.

    Attributes:
        claims: the accounts of its requests, the organization's first.
        limits: those of the accounts.
        balance: what this worker holds for its next requests; None: they have to ask.
    """

    claims: tuple[Claim, ...]
    limits: Limits
    balance: Balance | None = None


class Allowances:
    """Who may use what: the settings' limits (`default`) for every organization that the catalog says nothing of."""

    def __init__(self, settings: "LimitsSettings", catalog: Organizations | None) -> None:
        self.default = organization_limits(settings)
        self._catalog = catalog
        self._version = 0
        self._callers: dict[str | tuple[str, str], Caller] = {}

    def caller(self, organization: str, principal: Principal) -> Caller:
        """Who asks; the same object until something is published."""
        catalog = self._catalog
        if catalog is not None:
            version = catalog.version()
            if version != self._version:
                self._callers.clear()
                self._version = version
        key_id = principal.key_id
        caller = self._callers.get((organization, key_id) if key_id else organization)
        if caller is None or (key_id and caller.claims[-1].limits != principal.limits):  # admitted before the change
            return self._look_up(organization, principal)
        return caller

    def _look_up(self, organization: str, principal: Principal) -> Caller:
        own = None
        known = True
        if self._catalog is not None and self._version:
            try:
                own = self._catalog.organization(organization)
            except CatalogUnavailableError:
                known = False
        claims: tuple[Claim, ...] = (Claim(organization, self.default if own is None else own),)
        key_id = principal.key_id
        if key_id:
            claims += (Claim(KEY_ACCOUNT + key_id, principal.limits),)
        caller = Caller(claims, limits_of(claims))
        if known:
            if len(self._callers) >= MAX_REMEMBERED:
                self._callers.clear()
            self._callers[(organization, key_id) if key_id else organization] = caller
        return caller


def organization_limits(settings: "LimitsSettings") -> AccountLimits:
    """What an organization may use that has no limits of its own."""
    return AccountLimits(
        requests_per_day=settings.org_daily_request_limit,
        tokens_per_day=settings.org_daily_token_limit,
        requests_per_month=settings.org_monthly_request_limit,
        tokens_per_month=settings.org_monthly_token_limit,
    )
