"""In which accounts does a request count, and what may they use? Its organization's, and its key's if it has one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gateway.catalog.errors import CatalogUnavailableError
from gateway.core.principal import KEY_ACCOUNT, AccountLimits, Principal
from gateway.store.accounts import Claim

if TYPE_CHECKING:
    from gateway.limits.settings import LimitsSettings

MAX_REMEMBERED = 8192
"""Callers whose claims a worker keeps: looking an organization up takes 4 us."""


class Organizations(Protocol):
    """What is asked of the catalog."""

    @property
    def version(self) -> Callable[[], int]:
        """Gives another number after any change."""
        ...

    def organization(self, name: str) -> AccountLimits | None:
        """Its own limits; None: the settings' hold. Raises CatalogUnavailableError."""
        ...


class Allowances:
    """Who may use what: the settings' limits (`default`) for every organization that the catalog says nothing of."""

    def __init__(self, settings: "LimitsSettings", catalog: Organizations | None) -> None:
        self.default = organization_limits(settings)
        self._catalog = catalog
        self._version = 0
        self._claims: dict[tuple[str, str], tuple[Claim, ...]] = {}

    def claims(self, organization: str, principal: Principal) -> tuple[Claim, ...]:
        """The accounts of a request, the organization's first."""
        catalog = self._catalog
        if catalog is not None:
            version = catalog.version()
            if version != self._version:
                self._claims.clear()
                self._version = version
        claims = self._claims.get((organization, principal.key_id))
        return self._look_up(organization, principal) if claims is None else claims

    def _look_up(self, organization: str, principal: Principal) -> tuple[Claim, ...]:
        own = None
        known = True
        if self._catalog is not None and self._version:
            try:
                own = self._catalog.organization(organization)
            except CatalogUnavailableError:
                known = False
        claims: tuple[Claim, ...] = (Claim(organization, self.default if own is None else own),)
        if principal.key_id:
            claims += (Claim(KEY_ACCOUNT + principal.key_id, principal.limits),)
        if known:
            if len(self._claims) >= MAX_REMEMBERED:
                self._claims.clear()
            self._claims[organization, principal.key_id] = claims
        return claims


def organization_limits(settings: "LimitsSettings") -> AccountLimits:
    """What an organization may use that has no limits of its own."""
    return AccountLimits(
        requests_per_day=settings.org_daily_request_limit,
        tokens_per_day=settings.org_daily_token_limit,
        requests_per_month=settings.org_monthly_request_limit,
        tokens_per_month=settings.org_monthly_token_limit,
    )
