"""What does every router need? The administrator's name, and the state that all of them share."""

from typing import Annotated, NamedTuple, Protocol

from fastapi import Depends, Request
from pydantic import SecretStr

from gateway.admin.gate import ACTOR
from gateway.admin.live import Live
from gateway.core.clock import Clock
from gateway.database.database import Database


class Ruled(Protocol):
    """The settings that the admin API reads; `gateway.settings.Settings` has them all."""

    @property
    def admin_api_key(self) -> list[SecretStr]:
        """Keys of administrators."""
        ...

    @property
    def key_hash_secret(self) -> SecretStr:
        """What API keys are hashed with; empty: none can be made."""
        ...

    @property
    def max_rps_per_ip(self) -> float:
        """Requests a second of each organization."""
        ...

    @property
    def rps_burst(self) -> float:
        """Requests at once of each organization."""
        ...

    @property
    def max_inflight_per_ip(self) -> int:
        """Requests in flight of each organization."""
        ...

    @property
    def max_queued_per_ip(self) -> int:
        """Requests of each organization that wait."""
        ...

    @property
    def queue_timeout_secs(self) -> float:
        """How long they wait."""
        ...


class House(NamedTuple):
    """What routers are made of.

    Attributes:
        database: what is kept.
        settings: what the operator set.
        live: what the running gateway knows.
        clock: its wall clock dates what is expired.
    """

    database: Database
    settings: Ruled
    live: Live
    clock: Clock


def _actor(request: Request) -> str:
    actor: str = request.scope[ACTOR]
    return actor


Actor = Annotated[str, Depends(_actor)]
"""Whom the audit trail names; the gate put it there."""
