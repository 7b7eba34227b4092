"""What may be set about listening, workers and connections?"""

from pydantic import Field

from gateway.core.room_settings import RoomSettings


class ServerSettings(RoomSettings):
    """Where the gateway listens, with how many processes, and how long it waits for clients and for its own end."""

    gateway_host: str = Field(
        "127.0.0.1",
        description="Address to listen on. In a container 0.0.0.0; `::` listens on IPv6 and IPv4.",
    )
    gateway_port: int = Field(9000, ge=0, le=65535, description="TCP port to listen on; 0 lets the kernel choose one.")
    gateway_workers: int = Field(
        4,
        ge=1,
        le=128,
        description="Worker processes. All of them enforce the same limits, so the number changes speed alone.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address on which /metrics is served; in a container 0.0.0.0.")
    metrics_port: int = Field(
        9100,
        ge=0,
        le=65535,
        description="Port of Prometheus' /metrics, served by the supervisor for all workers together; 0 turns it off.",
    )
    drain_secs: float = Field(
        120.0,
        ge=0,
        description="Seconds that running requests may take to finish after SIGTERM; then they are cut (0: at once).",
    )
    worker_blocked_secs: float = Field(
        5.0,
        ge=1,
        description="Seconds for which a worker's event loop may stand still; then it is logged once, with its stack.",
    )
    client_header_timeout_secs: float = Field(
        10.0,
        gt=0,
        description="Seconds a client may take to send a request's headers; then 408, and the connection is closed.",
    )
    client_keepalive_secs: float = Field(
        75.0,
        gt=0,
        description="Seconds an idle connection of a client stays open. Keep it above the proxy's own (nginx: 60).",
    )
    client_write_timeout_secs: float = Field(
        60.0,
        gt=0,
        description="Seconds a client may take nothing of what is ready for it; then its connection is closed.",
    )
    client_max_header_bytes: int = Field(
        65536,
        ge=1024,
        description="Bytes that a request's line and headers may have together; more is answered with 431.",
    )
