"""Where does the gateway keep what must outlive it, and for how long? The database's settings."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from gateway.core.room_settings import RoomSettings

SCHEMES = ("sqlite", "postgresql", "postgres", "sqlite+aiosqlite", "postgresql+psycopg")
"""What may stand before `://`; the driver's name may be left out, there is one for each."""


class DatabaseSettings(RoomSettings):
    """The database, and what is kept in it."""

    data_path: Path = Field(
        Path("data"),
        validate_default=True,
        description="Directory on a disk that outlives restarts, for this gateway alone: the SQLite file, if "
        "DATABASE_URL is not set, and what waits for a database that is away. Made with mode 0700.",
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        description="postgresql://user:password@host:5432/name, with libpq's parameters behind a `?` if needed "
        "(sslmode, target_session_attrs), or sqlite:////absolute/path. Empty: gateway.db in DATA_PATH.",
    )
    database_timeout_secs: float = Field(
        5.0,
        gt=0,
        le=60,
        description="Seconds that one transaction may take, waiting for a connection or a lock included; then the "
        "database counts as away. No request waits for it.",
    )
    database_pool_size: int = Field(
        4, ge=1, le=100, description="PostgreSQL connections that each gateway host opens at the most."
    )
    database_auto_upgrade: bool = Field(
        default=True,
        description="Bring the schema up to date at the start, once however many hosts start; false leaves it to "
        "`gateway db upgrade`.",
    )
    usage_retention_days: int = Field(
        90, ge=0, description="Days for which each request's usage record is kept; 0 keeps them for ever."
    )
    usage_daily_retention_days: int = Field(
        800,
        ge=0,
        description="Days for which the daily sums that reports are made of are kept; 0 keeps them for ever.",
    )

    @field_validator("data_path")
    @classmethod
    def _from_here(cls, value: Path) -> Path:
        return value.absolute()

    @field_validator("database_url")
    @classmethod
    def _one_of_ours(cls, value: SecretStr) -> SecretStr:
        if url := value.get_secret_value():
            refuse_unfit(url)
        return value


def refuse_unfit(url: str) -> None:
    """Raise ValueError, with one sentence that shows nothing of it, unless the URL may name a database of ours."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in SCHEMES:
        raise ValueError("DATABASE_URL must begin with postgresql:// or sqlite:// (it is not shown here)")
    if scheme.startswith("sqlite"):
        if not rest.startswith("//") or rest.endswith("/"):
            raise ValueError(
                "DATABASE_URL must name an absolute path behind sqlite://, as in sqlite:////srv/gateway.db"
            )
        return
    try:
        fit = urlsplit(url).port != 0
    except ValueError:
        fit = False
    if not fit:
        raise ValueError("DATABASE_URL has no port that is one; `@`, `/` and `:` in a password are %40, %2F and %3A")
