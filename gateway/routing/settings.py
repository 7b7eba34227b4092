"""Whose turn is it? The setting that names the balancing policy."""

from pydantic import Field

from gateway.core.room_settings import RoomSettings
from gateway.routing.choices import Balancing


class RoutingSettings(RoomSettings):
    """How the replicas of a group share its requests."""

    balancing_policy: Balancing = Field(
        Balancing.ROUND_ROBIN,
        description="Who of a group's replicas gets the next request: round_robin (turns, counted over all workers), "
        "weighted_round_robin (by CHAT_WEIGHTS), least_inflight (fewest requests running), power_of_two (the emptier "
        "of two chosen at random).",
    )
