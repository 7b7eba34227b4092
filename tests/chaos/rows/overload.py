"""Rows: Overload."""

from tests.chaos.row import Row, Section

OVERLOAD = Section(
    "Overload",
    (
        Row(
            "a hundred requests race for the last of a quota",
            "exactly as many as fit run",
            later="step 4, quotas",
        ),
    ),
)
