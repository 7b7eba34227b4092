"""Whose texts are not kept? Those of organizations that opted out, as the catalog has it; all, when it cannot tell."""

from collections.abc import Callable
from typing import Final, Protocol

from gateway.catalog.errors import CatalogUnavailableError

MAX_REMEMBERED: Final = 8192
"""Organizations that a worker keeps, as `limits/allowances.py` does: looking one up takes 8 us."""


class Organizations(Protocol):
    """What is asked of the catalog."""

    @property
    def version(self) -> Callable[[], int]:
        """Gives another number after any change."""
        ...

    def opted_out(self, name: str) -> bool:
        """Whether that one has. Raises CatalogUnavailableError."""
        ...


class OptOuts:
    """Who has opted out of the audit of texts.

    Args:
        catalog: where it stands; None: there is no database, and nobody can have.
    """

    def __init__(self, catalog: Organizations | None) -> None:
        self._catalog = catalog
        self._version = 0
        self._known: dict[str, bool] = {}

    def __call__(self, organization: str) -> bool:
        """Whether no text of this organization's requests may be kept, or nobody can tell now."""
        catalog = self._catalog
        if catalog is None:
            return False
        version = catalog.version()
        if version != self._version or len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
            self._version = version
        known = self._known.get(organization)
        if known is None:
            try:
                known = self._known[organization] = catalog.opted_out(organization)
            except CatalogUnavailableError:
                return True
        return known
