"""How far are the database and the books?"""

from gateway.observability.families.family import Family, Kind

TRANSACTIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a read of a local file to DATABASE_TIMEOUT_SECS and beyond."""

DATABASE_UP = Family(
    Kind.GAUGE,
    "gateway_database_up",
    "1 while the database answers the control process, which asks several times a second; 0: keys and usage wait.",
)
DATABASE_SECONDS = Family(
    Kind.HISTOGRAM,
    "gateway_database_seconds",
    "Seconds that the control process's database took, by operation: `open`, `read`, or `write`; the wait for its turn "
    "and for a connection included.",
    ("operation",),
    TRANSACTIONS,
)
DATABASE_ERRORS = Family(
    Kind.COUNTER,
    "gateway_database_errors",
    "Operations of the control process on its database that had no answer in time, or none at all.",
    ("operation",),
)
KEYS_PUBLISHED = Family(
    Kind.COUNTER, "gateway_keys_published", "Times that changes of keys or organizations were handed to all workers."
)
USAGE_RECORDS = Family(
    Kind.COUNTER,
    "gateway_usage_records",
    "Usage records taken from the journal: `written` into the database; `spooled` into a file of DATA_PATH while it "
    "was away, to be written later; `lost`, as they could not be read or no database takes them.",
    ("fate",),
)
USAGE_LAG = Family(
    Kind.GAUGE,
    "gateway_usage_lag_seconds",
    "Age of the oldest usage record that is not in the database yet; 0 when all are.",
)
USAGE_SPOOL = Family(Kind.GAUGE, "gateway_usage_spool_bytes", "Bytes of usage records that wait for the database.")
USAGE_JOURNAL = Family(
    Kind.GAUGE, "gateway_usage_journal_records", "Usage records that workers have handed over and nobody took away yet."
)
