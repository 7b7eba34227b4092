"""THE CATALOGUE: everything that goes wrong, a file for each part of the house that it meets."""

from tests.chaos.rows.backends import BACKENDS
from tests.chaos.rows.departures import DEPARTURES
from tests.chaos.rows.edge import EDGE
from tests.chaos.rows.gateway import GATEWAY
from tests.chaos.rows.keys import KEYS
from tests.chaos.rows.limits import LIMITS
from tests.chaos.rows.overload import OVERLOAD

SECTIONS = (EDGE, KEYS, LIMITS, DEPARTURES, BACKENDS, GATEWAY, OVERLOAD)
"""In the order in which docs/testing.md shows them."""
