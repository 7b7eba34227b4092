"""Which ways are there to a collector? One."""

from enum import StrEnum


class Protocol(StrEnum):
    """What OTEL_EXPORTER_OTLP_PROTOCOL may say."""

    HTTP_PROTOBUF = "http/protobuf"
