"""Which words may be chosen for whose turn it is?"""

from enum import StrEnum


class Balancing(StrEnum):
    """The policies; `routing.policies` has a row for each."""

    ROUND_ROBIN = "round_robin"
    WEIGHTED_ROUND_ROBIN = "weighted_round_robin"
    LEAST_INFLIGHT = "least_inflight"
    POWER_OF_TWO = "power_of_two"
