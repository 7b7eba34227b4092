"""What does `gateway serve` do while its first worker loads? It reads the settings; then it supervises."""

import signal
import sys
from collections.abc import Mapping
from typing import Any

import uvloop
from pydantic import SecretStr

from gateway.auth.key_secret import KeySecretError, find_or_make
from gateway.cli.fresh import UnreadableError, load_fresh
from gateway.companion import companions
from gateway.core.events import EventLog
from gateway.observability.log_writer import LogWriter
from gateway.observability.logs import build_logger
from gateway.server.blueprint import Blueprint, NotRenewedError
from gateway.server.keeper import WorkerFailedError
from gateway.server.listening import CannotListenError
from gateway.server.pid_file import Outcome
from gateway.server.process import WorkerProcess
from gateway.server.sighting import FOLDER
from gateway.server.supervisor import Endpoints, Supervisor
from gateway.settings import ConfigurationError, Settings, ignored, load
from gateway.store.choices import StoreKind

FIXED = (
    "gateway_host",
    "gateway_port",
    "metrics_host",
    "metrics_port",
    "limiter_store",
    "limiter_path",
    "max_tracked_organizations",
    "redis_url",
    "data_path",
)
"""What the listening sockets, and the state that old and new processes share, are made from."""
OTHER_HASHES = (
    "KEY_HASH_SECRET, or its file in DATA_PATH, cannot change while the gateway runs: no API key that was made before "
    "would be known any more; put the one before back, or restart if that is meant"
)
DEFAULT_FACTORY = "gateway.app:build"
CONTROL = "gateway.control"
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def supervise(first: WorkerProcess, app: str, options: Mapping[str, Any]) -> list[str]:
    """Serve until told to stop; lines for the operator when that cannot be.

    Args:
        first: a worker process that loads `app`.
        app: `module:callable` that makes the application.
        options: settings from the command line.
    """
    try:
        run(load(**options), app, first, options)
    except (ConfigurationError, CannotListenError, WorkerFailedError) as error:
        return str(error).splitlines()
    return []


def run(settings: Settings, app: str, first: WorkerProcess, options: Mapping[str, Any]) -> None:
    """Supervise, and log what happens to the workers."""
    writer = LogWriter(sys.stderr.fileno(), on_drop=lambda: None)
    logger = build_logger(settings, writer)
    settings = with_key_secret(settings, logger)
    for sentence in ignored():
        logger.warning("setting_ignored", why=sentence)

    def announce(endpoints: Endpoints) -> None:
        url = f"http://{endpoints.host}:{endpoints.port}"
        logger.info("listening", url=url, workers=settings.gateway_workers, metrics_port=endpoints.metrics)

    async def renew() -> Blueprint:
        try:
            fresh = await load_fresh(options)
        except UnreadableError as error:
            raise NotRenewedError(error.reasons, Outcome.REFUSED) from error
        fresh = with_key_secret(fresh, logger)
        if changed := fixed(settings, fresh):
            raise NotRenewedError(changed, Outcome.REFUSED)
        return blueprint_of(fresh, build_logger(fresh, writer), app)

    async def serve() -> None:
        supervisor = Supervisor(
            blueprint_of(settings, logger, app),
            factory=app,
            renew=renew,
            directory=settings.limiter_path,
            first=first,
            on_ready=announce,
        )
        await supervisor.run()
        for number in ENDING:  # an impatient second one finds us on the way out, which must end with 0 all the same
            signal.signal(number, signal.SIG_IGN)

    try:
        uvloop.run(serve())
    finally:
        writer.close()


def blueprint_of(settings: Settings, log: EventLog, app: str) -> Blueprint:
    """What workers with these settings are made from; `log` is told of the backends.

    A control process stands beside the gateway itself alone, and only where workers share what it could reach.
    """
    shared = settings.limiter_store is not StoreKind.MEMORY
    return Blueprint(
        settings,
        longest_request=settings.max_request_secs,
        companion=companions(settings, log),
        control=CONTROL if app == DEFAULT_FACTORY and shared else "",
        idle_folder=settings.data_path / FOLDER if shared else None,
    )


def with_key_secret(settings: Settings, log: EventLog) -> Settings:
    """The settings with the secret that API keys are hashed with, which all processes of a generation are handed.

    Where it cannot be had, the gateway starts without: GATEWAY_API_KEY works, other keys get 503.
    """
    if settings.key_hash_secret.get_secret_value() or settings.limiter_store is StoreKind.MEMORY:
        return settings
    try:
        secret = find_or_make(settings.data_path)
    except KeySecretError as error:
        log.warning("api_keys_unavailable", why=str(error))
        return settings
    return settings.model_copy(update={"key_hash_secret": SecretStr(secret)})


def fixed(before: Settings, after: Settings) -> list[str]:
    """A sentence for each setting that differs and cannot while the gateway runs; none shows a secret."""
    sentences = [
        f"{name.upper()} cannot change while the gateway runs{told(was, now)}: restart it"
        for name in FIXED
        if (was := getattr(before, name)) != (now := getattr(after, name))
    ]
    known = before.key_hash_secret.get_secret_value()  # empty: its file could not be had, and now may be
    return [*sentences, OTHER_HASHES] if known not in {"", after.key_hash_secret.get_secret_value()} else sentences


def told(was: object, now: object) -> str:
    """Both values of a setting, unless they are secret."""
    return "" if isinstance(was, SecretStr) else f" (it is {was}, and would be {now})"
