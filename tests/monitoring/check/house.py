"""What is scraped? Five simulated vLLM servers, and a gateway that shows all it can."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.conftest import Fleet, start_fleet
from tests.support.certificates import self_signed
from tests.support.gateway import Gateway, wait_until
from tests.support.taker import taking

SERVERS = ("chat0", "chat1", "text2sql", "embed", "rerank")
ADMIN = "admin-0123456789abcdef"
ACME, GLOBEX = "org:acme", "org:globex"
ACME_REQUESTS = 8
"""Of a day: used up soon, and refused from then on."""
WORKERS = 2
SLOTS = 24
"""Fewer than there are visitors, so that some of them wait."""


@dataclass(frozen=True, slots=True)
class House:
    """The running stack.

    Args:
        data: the folder of the gateway's database.
        keys: a key of each organization.
    """

    fleet: Fleet
    gateway: Gateway
    data: Path
    keys: dict[str, str]

    def targets(self) -> dict[str, dict[str, str]]:
        """What a Prometheus scrapes here, by its jobs, under the names of the repository's configuration."""
        servers = {f"{name}:8000": server.url.removeprefix("http://") for name, server in self.fleet.servers.items()}
        return {"gateway": {"gateway:9100": f"127.0.0.1:{self.gateway.metrics_port}"}, "vllm": servers}


@contextmanager
def built(folder: Path) -> Iterator[House]:
    """The stack, with its files in a folder, as long as the scope lasts."""
    with ExitStack() as stack:
        fleet = start_fleet(stack, *SERVERS)
        for name in ("chat0", "chat1", "text2sql"):
            fleet[name].set_pace(ttft_ms=40, token_ms=5, spread_ms=4)
        collector = stack.enter_context(taking()).address
        edge = stack.enter_context(taking(self_signed(folder)[1])).address
        settings = {
            **_settings(folder),
            "TLS_PROBE_ADDRESSES": edge,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector}",
        }
        gateway = stack.enter_context(Gateway(folder, **fleet.settings(), **settings))
        wait_until(gateway.well)
        keys = {
            ACME: _key(gateway, ACME, requests_per_day=ACME_REQUESTS, tokens_per_day=10_000_000),
            GLOBEX: _key(gateway, GLOBEX, requests_per_minute=6),
        }
        wait_until(lambda: all(_is_known(gateway, key) for key in keys.values()))
        yield House(fleet, gateway, folder / "data", keys)


def _settings(folder: Path) -> dict[str, object]:
    return {
        "GATEWAY_WORKERS": WORKERS,
        "ADMIN_API_KEY": ADMIN,
        "DATA_PATH": folder / "data",
        "MAX_RPS_PER_IP": 100_000,
        "RPS_BURST": 100_000,
        "MAX_INFLIGHT_PER_IP": SLOTS,
        "MAX_QUEUED_PER_IP": SLOTS // 2,
        "QUEUE_TIMEOUT_SECS": 0.2,
        # Fewer at each chat server than its half of the slots: some wait for a seat.
        "MAX_INFLIGHT_PER_BACKEND": SLOTS // 3,
        "MAX_QUEUED_PER_BACKEND": SLOTS,
        "CHAT_FALLBACK": "text2sql",
        "BACKEND_PROBE_INTERVAL_SECS": 0.5,
        "BACKEND_UP_AFTER": 1,
        "CIRCUIT_RECOVERY_TIMEOUT": 2,
        "CACHE_TTL_SECS": 2,
        "CACHE_MAX_ENTRIES": 16,
        "WORKER_BLOCKED_SECS": 1,
        "DATABASE_TIMEOUT_SECS": 1,
        "AUDIT_LOG": "metadata",
        "AUDIT_PATH": folder / "audit",
        "OTEL_TRACES_ENABLED": "true",
    }


def _key(gateway: Gateway, organization: str, **limits: int) -> str:
    """A key of an organization with these limits; waits for the control process, which makes it."""
    wait_until(lambda: _made(gateway, "organizations", {"id": organization, "limits": limits}))
    made: httpx.Response = wait_until(lambda: _made(gateway, "keys", {"organization": organization}))
    key: str = made.json()["key"]
    return key


def _made(gateway: Gateway, path: str, body: dict[str, object]) -> httpx.Response | None:
    url = f"{gateway.url}/admin/v1/{path}"
    answer = httpx.post(url, json=body, headers={"X-Admin-Key": ADMIN}, timeout=30, trust_env=False)
    return answer if answer.status_code == httpx.codes.CREATED else None


def _is_known(gateway: Gateway, key: str) -> bool:
    asked = {"authorization": f"Bearer {key}"}
    return httpx.get(f"{gateway.url}/v1/models", headers=asked, trust_env=False).is_success
