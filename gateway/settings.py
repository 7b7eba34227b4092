"""What did the operator set? Every room's settings in one flat list of names, read from four places and checked."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import yaml
from dotenv import dotenv_values
from pydantic import ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.admission.settings import AdmissionSettings
from gateway.auth.settings import AuthSettings
from gateway.backends.settings import BackendSettings
from gateway.limits.settings import LimitsSettings
from gateway.middleware.settings import MiddlewareSettings
from gateway.observability.settings import ObservabilitySettings
from gateway.payload.settings import PayloadSettings
from gateway.proxy.settings import ProxySettings
from gateway.server.settings import ServerSettings
from gateway.store.settings import StoreKind, StoreSettings
from gateway.streaming.settings import StreamingSettings
from gateway.upstream.address import Address
from gateway.upstream.settings import UpstreamSettings

ROOMS = (
    ServerSettings,
    AuthSettings,
    BackendSettings,
    LimitsSettings,
    AdmissionSettings,
    StoreSettings,
    MiddlewareSettings,
    PayloadSettings,
    ProxySettings,
    StreamingSettings,
    UpstreamSettings,
    ObservabilitySettings,
)
"""Every room's settings, in the order in which they are explained."""

NEAR = 2
"""So many edits away from a known name, an unknown one is taken for a slip."""
MAX_SHOWN = 60
"""Characters of a refused value that are repeated to the operator."""
BACKEND_FIELDS = ("chat_backends", "text2sql_backend", "embed_backend", "rerank_backend")


class ConfigurationError(Exception):
    """The configuration cannot be used.

    Attributes:
        mistakes: one sentence each, naming the setting and never showing a secret.
    """

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class Settings(
    ServerSettings,
    AuthSettings,
    BackendSettings,
    LimitsSettings,
    AdmissionSettings,
    StoreSettings,
    MiddlewareSettings,
    PayloadSettings,
    ProxySettings,
    StreamingSettings,
    UpstreamSettings,
    ObservabilitySettings,
    BaseSettings,
):
    """All settings. A room takes its own base class of this; nobody but `load` makes one."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, frozen=True)

    @field_validator(*BACKEND_FIELDS)
    @classmethod
    def _backends_are_addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        """A URL that is none, or that leads to a cloud's metadata service, must not wait for the first request."""
        for url in (value,) if isinstance(value, str) else value:
            if url:
                Address.parse(url)
        return value

    @model_validator(mode="after")
    def _one_truth_for_all_workers(self) -> Self:
        if self.limiter_store is StoreKind.MEMORY and self.gateway_workers > 1:
            raise ValueError(
                f"LIMITER_STORE=memory is for one worker, but GATEWAY_WORKERS is {self.gateway_workers}: each would "
                "grant the whole limit; use lmdb"
            )
        return self


def load(env_file: Path | None = Path(".env"), **overrides: Any) -> Settings:  # noqa: ANN401 -- values of any setting
    """Read and check the configuration.

    A name is taken from `overrides` (the command line), else from the environment, else from `env_file`, else from
    the YAML file that GATEWAY_CONFIG names, else it has its default. An empty value counts as none.

    Raises:
        ConfigurationError: with one line for every mistake that was found.
    """
    file_values = _read_env_file(env_file)
    environment = {name.upper(): value for name, value in {**file_values, **os.environ}.items() if value}
    config = environment.get("GATEWAY_CONFIG")
    yaml_values, mistakes = _read_yaml(Path(config)) if config else ({}, [])
    mistakes += [slip for name in environment if (slip := near_miss(name))]
    below = {name: value for name, value in yaml_values.items() if name.upper() not in environment}
    try:
        settings = Settings(_env_file=env_file, **{**below, **overrides})
    except ValidationError as error:
        mistakes += [mistake(details) for details in error.errors()]
        raise ConfigurationError(mistakes) from None  # the cause would show the values, secrets among them
    if mistakes:
        raise ConfigurationError(mistakes)
    return settings


def names() -> tuple[str, ...]:
    """Every setting's name in the environment, in the order in which they are explained."""
    return tuple(name.upper() for room in ROOMS for name in room.model_fields)


def near_miss(name: str) -> str | None:
    """A sentence about `name` when it is no setting, but nearly one; None for names that are ours or a stranger's."""
    known = names()
    if name in known:
        return None
    nearest = min(known, key=lambda candidate: distance(name, candidate))
    return f"{name} is no setting: is {nearest} meant?" if distance(name, nearest) <= NEAR else None


def distance(left: str, right: str) -> int:
    """Levenshtein's: how many letters must be inserted, dropped or changed to make one word the other."""
    if abs(len(left) - len(right)) > NEAR:
        return NEAR + 1
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        previous, row = row, [i]
        for j, b in enumerate(right, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (a != b)))
    return row[-1]


def is_secret(field: str) -> bool:
    """Whether the values of a field are never to be shown."""
    return "SecretStr" in str(Settings.model_fields[field].annotation)


def mistake(details: ErrorDetails) -> str:
    """One line about one refused value."""
    message = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        return message
    field = str(details["loc"][0])
    sentence = message if message.startswith(field.upper()) else f"{field.upper()}: {message}"
    if isinstance(details["input"], str | int | float) and details["type"] != "value_error" and not is_secret(field):
        return f"{sentence} (it is {str(details['input'])[:MAX_SHOWN]!r})"
    return sentence


def _read_env_file(path: Path | None) -> dict[str, str | None]:
    return dict(dotenv_values(path)) if path is not None and path.is_file() else {}


def _read_yaml(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The file's settings by field name, and what is wrong with it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        return {}, [f"GATEWAY_CONFIG names {path}, which cannot be read: {error.strerror}"]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return {}, [f"{path} is no YAML: {' '.join(str(error).split())}"]
    if content is None:
        return {}, []
    if not isinstance(content, dict):
        return {}, [f"{path} must hold `name: value` lines"]
    values = {str(name).lower(): value for name, value in content.items()}
    unknown = [name for name in values if name not in Settings.model_fields]
    known = ", ".join(sorted(Settings.model_fields))
    mistakes = [f"{path}: {near_miss(name.upper()) or f'{name} is no setting'}" for name in unknown]
    if unknown:
        mistakes.append(f"{path}: the settings are {known}")
    return {name: value for name, value in values.items() if name not in unknown}, mistakes
