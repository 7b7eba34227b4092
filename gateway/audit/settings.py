"""What is kept of requests for an audit, and where? The audit trail's settings."""

from pathlib import Path

from pydantic import Field, field_validator

from gateway.audit.choices import AuditLog
from gateway.core.room_settings import RoomSettings

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


class AuditSettings(RoomSettings):
    """The audit trail: a record of each request that needs a key, in files of its own."""

    audit_log: AuditLog = Field(
        AuditLog.OFF,
        description="off; metadata: who asked which model when and what came of it; content: the texts of request and "
        "answer too, in which e-mail addresses, phone and card numbers, IBANs and keys are replaced.",
    )
    audit_path: Path | None = Field(
        None,
        description="Folder of the files, for this gateway alone, made with mode 0700. Empty: audit in DATA_PATH.",
    )
    audit_max_bytes: int = Field(
        64 * MEBIBYTE,
        ge=64 * KIBIBYTE,
        description="Bytes of a file, after which the next one is begun; a record that is longer has one of its own.",
    )
    audit_files: int = Field(
        10, ge=1, le=1000, description="Files kept, the one that is written included; the oldest is deleted."
    )
    audit_max_body_bytes: int = Field(
        256 * KIBIBYTE,
        ge=KIBIBYTE,
        le=4 * MEBIBYTE,  # two of them must find room among the records that wait
        description="Bytes that are kept of a request's body, and of its answer's, until its record is written: a "
        "stream has some 250 for each token. What is beyond them is not in the record, which says so.",
    )

    @field_validator("audit_path")
    @classmethod
    def _audit_from_here(cls, value: Path | None) -> Path | None:
        return None if value is None else value.absolute()
