"""Which words may be chosen for the audit trail?"""

from enum import StrEnum


class AuditLog(StrEnum):
    """How much is kept of a request."""

    OFF = "off"
    METADATA = "metadata"
    """Who asked which model when, and what came of it; no text."""
    CONTENT = "content"
    """That, and the texts of request and answer without what names a person."""
