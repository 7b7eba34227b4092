"""How do tests put requests on sheets, and find them in the ledger?"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from gateway.core.usage_record import UsageRecord, encode_usage
from gateway.core.usage_sheet import Sheet, encode_sheet, read_sheet


def sheet(key: str, *records: UsageRecord) -> Sheet:
    """Requests that a worker wrote down at once."""
    return Sheet(key.encode(), encode_sheet([encode_usage(record) for record in records]))


def sheets(records: Iterable[UsageRecord]) -> list[Sheet]:
    """A sheet for each request, under its id."""
    return [sheet(record.request_id, record) for record in records]


def booked(file: Path) -> list[UsageRecord]:
    """All requests in the ledger of an SQLite file; none while that is not there or has no tables."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'usage_sheets'").fetchone():
            return []
        return read(content for (content,) in connection.execute("SELECT content FROM usage_sheets"))


def read(contents: Iterable[bytes]) -> list[UsageRecord]:
    """The requests on sheets, each of which must be readable."""
    found = []
    for content in contents:
        records, lost = read_sheet(content)
        assert not lost
        found += records
    return found
