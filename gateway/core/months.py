"""Which number has a month, so that the next one has the next number? It is counted from year 0 on."""

from datetime import date

MONTHS = 12
"""Of a year."""


def month_of(day: date) -> int:
    """The month in which that day lies."""
    return day.year * MONTHS + day.month
