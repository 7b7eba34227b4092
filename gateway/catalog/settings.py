"""How long does what was published hold when nobody confirms it? The catalog's settings."""

from pydantic import Field

from gateway.core.room_settings import RoomSettings


class CatalogSettings(RoomSettings):
    """What an operator may choose about a database that does not answer."""

    keys_fresh_secs: float = Field(
        5.0,
        gt=0,
        description="Seconds since the database last answered, up to which an API key that is not known is refused "
        "with 401; after them with 503, as it may have been made meanwhile.",
    )
    keys_max_age_secs: float = Field(
        3600.0,
        ge=0,
        description="Seconds since the database last answered, after which known API keys get 503 too, as they may "
        "have been revoked meanwhile; 0: never. GATEWAY_API_KEY always works.",
    )
