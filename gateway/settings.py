"""What did the operator set? Every room's settings in one flat list of names, read from four places and checked."""

import os
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Self

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from gateway.admin.settings import AdminSettings
from gateway.admission.settings import AdmissionSettings
from gateway.audit.settings import AuditSettings
from gateway.auth.settings import AuthSettings
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.settings import BackendSettings
from gateway.cache.settings import CacheSettings
from gateway.catalog.settings import CatalogSettings
from gateway.database.settings import DatabaseSettings
from gateway.elsewhere import ELSEWHERE, VOCABULARIES, is_link
from gateway.fleet.merge import static_roster
from gateway.limits.settings import LimitsSettings
from gateway.middleware.settings import MiddlewareSettings
from gateway.observability.settings import ObservabilitySettings
from gateway.payload.settings import PayloadSettings
from gateway.proxy.settings import ProxySettings
from gateway.routing.settings import RoutingSettings
from gateway.server.settings import ServerSettings
from gateway.store.choices import StoreKind
from gateway.store.settings import StoreSettings
from gateway.streaming.settings import StreamingSettings
from gateway.tracing.settings import TracingSettings
from gateway.upstream.address import Address
from gateway.upstream.settings import UpstreamSettings

ROOMS = (
    ServerSettings,
    AuthSettings,
    AdminSettings,
    BackendSettings,
    BreakerSettings,
    RoutingSettings,
    LimitsSettings,
    AdmissionSettings,
    StoreSettings,
    DatabaseSettings,
    CatalogSettings,
    CacheSettings,
    MiddlewareSettings,
    PayloadSettings,
    ProxySettings,
    StreamingSettings,
    UpstreamSettings,
    ObservabilitySettings,
    AuditSettings,
    TracingSettings,
)
"""Every room's settings, in the order in which they are explained."""

NEAR = 2
"""So many edits away from a known name, a stranger's name in the environment is taken for a slip."""
ALIKE = 0.6
"""So much of a known name (difflib's ratio) an unknown one must share for that to be suggested."""
FILE_NAMES = {"models": "gateway_models"}
"""What the YAML file calls otherwise: a short name in the environment would be many strangers' too."""
OURS = "GATEWAY_"
"""Nobody else's names begin with it."""
MAX_SHOWN = 60
"""Characters of a refused value that are repeated to the operator."""
PLAIN_WORDS = {
    **dict.fromkeys(("int_parsing", "int_parsing_size", "int_type", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "must be a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
    **dict.fromkeys(("literal_error", "enum"), "must be {expected}"),
    **dict.fromkeys(("list_type", "tuple_type"), "must be a list, or values separated by commas"),
    **dict.fromkeys(("string_type", "path_type"), "must be text"),
    "finite_number": "must be a finite number",
    "string_too_short": "must not be empty",
    "greater_than": "must be more than {gt:.12g}",
    "greater_than_equal": "must be {ge:.12g} or more",
    "less_than": "must be less than {lt:.12g}",
    "less_than_equal": "must be {le:.12g} or less",
}
"""What to say of a refused value, by the validation library's word for its fault; by its own sentence otherwise."""
NO_USERINFO = "a URL must not hold a user name or password (it is not shown here); a backend's key is BACKEND_API_KEY"
BACKEND_FIELDS = ("chat_backends", "text2sql_backend", "embed_backend", "rerank_backend")


class ConfigurationError(Exception):
    """The configuration cannot be used.

    Attributes:
        mistakes: one sentence each, naming the setting and never showing a secret; none stands there twice.
    """

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(dict.fromkeys(mistakes))
        super().__init__("\n".join(self.mistakes))


class Settings(
    ServerSettings,
    AuthSettings,
    AdminSettings,
    BackendSettings,
    BreakerSettings,
    RoutingSettings,
    LimitsSettings,
    AdmissionSettings,
    StoreSettings,
    DatabaseSettings,
    CatalogSettings,
    CacheSettings,
    MiddlewareSettings,
    PayloadSettings,
    ProxySettings,
    StreamingSettings,
    UpstreamSettings,
    ObservabilitySettings,
    AuditSettings,
    TracingSettings,
    BaseSettings,
):
    """All settings. A room takes its own base class of this; nobody but `load` makes one."""

    model_config = SettingsConfigDict(
        extra="ignore", env_ignore_empty=True, enable_decoding=False, frozen=True, allow_inf_nan=False
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What `load` hands in goes first, then the environment without what an orchestrator put there."""
        del settings_cls, dotenv_settings, file_secret_settings
        if isinstance(env_settings, EnvSettingsSource):
            found = env_settings.env_vars.items()
            env_settings.env_vars = {name: value for name, value in found if not is_link(name.upper(), value or "")}
        return init_settings, env_settings

    @field_validator(*BACKEND_FIELDS)
    @classmethod
    def _backends_are_addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        """A URL that is none, or that leads to a cloud's metadata service, must not wait for the first request."""
        urls = (value,) if isinstance(value, str) else value
        try:
            for url in filter(None, urls):
                Address.parse(url)
        except ValueError:
            if any("@" in url for url in urls):  # all of it: a password may hold what ends a host, or a URL in a list
                raise ValueError(NO_USERINFO) from None
            raise
        return value

    @model_validator(mode="after")
    def _groups_are_apart(self) -> Self:
        """A name or a server that two groups claim must not wait for the first worker either."""
        static_roster(self)
        return self

    @model_validator(mode="after")
    def _one_hash_for_all_hosts(self) -> Self:
        """Each host would make a secret of its own, and know none of the keys that another one made."""
        if self.database_url.get_secret_value().startswith("postgres") and not self.key_hash_secret.get_secret_value():
            raise ValueError(
                "KEY_HASH_SECRET must be set where DATABASE_URL names PostgreSQL, the same on all hosts: "
                "`openssl rand -hex 32` makes one"
            )
        return self

    @model_validator(mode="after")
    def _clients_are_no_administrators(self) -> Self:
        """Whoever may chat could make keys and read everybody's usage."""
        if {key.get_secret_value() for key in self.admin_api_key} & {
            key.get_secret_value() for key in self.gateway_api_key
        }:
            raise ValueError("ADMIN_API_KEY holds a key of GATEWAY_API_KEY, which clients have: give it another")
        return self

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
    file_values, mistakes = _read_env_file(env_file)
    stated = {name: value for name, value in _environment().items() if not is_link(name, value)}
    mistakes += [slip for name in stated if (slip := slip_in_environment(name))]
    above = {**file_values, **stated}
    config = above.get("GATEWAY_CONFIG")
    yaml_values, wrong = _read_yaml(Path(config)) if config else ({}, [])
    mistakes += wrong
    below = {
        name: value for name, value in {**yaml_values, **_fields(file_values)}.items() if name.upper() not in stated
    }
    try:
        settings = Settings(**{**below, **overrides})
    except ValidationError as error:
        mistakes += [mistake(details) for details in sorted(error.errors(), key=_place)]
        raise ConfigurationError(mistakes) from None  # the cause would show the values, secrets among them
    if mistakes:
        raise ConfigurationError(mistakes)
    return settings


def stated(*wanted: str, env_file: Path = Path(".env")) -> dict[str, str]:
    """What the environment, else `env_file`, says of some settings, unchecked: for commands that need no others."""
    file_values, _ = _read_env_file(env_file)
    above = {name: value for name, value in _environment().items() if not is_link(name, value)}
    return {name: value for name, value in {**file_values, **above}.items() if name in wanted}


def _place(details: ErrorDetails) -> int:
    """Where the setting at fault stands in the list; what concerns several comes last."""
    return names().index(str(details["loc"][0]).upper()) if details["loc"] else len(names())


def names() -> tuple[str, ...]:
    """Every setting's name in the environment, in the order in which they are explained."""
    return tuple(name.upper() for room in ROOMS for name in room.model_fields)


def _environment() -> dict[str, str]:
    """The process environment's values that are not empty, by name in capitals."""
    return {name.upper(): value for name, value in os.environ.items() if value}


def ignored() -> list[str]:
    """A sentence for each setting whose value in the environment does not count, as no operator put it there."""
    known = names()
    return [
        f"{name}={value} is ignored: Kubernetes (or a Docker link) puts that there for a service named "
        f"{name.removesuffix('_PORT').lower()!r}; `enableServiceLinks: false` in the pod's spec keeps it out"
        for name, value in _environment().items()
        if name in known and is_link(name, value)
    ]


def slip_in_environment(name: str) -> str | None:
    """A sentence about a name of the process environment, where most are strangers'; None when it is no mistake.

    What begins with GATEWAY_ must be known; of the others only what is nearly a setting's name is a slip.
    """
    known = names()
    if name in known or name in ELSEWHERE:
        return None
    if name.startswith(OURS) or any(distance(name, candidate) <= NEAR for candidate in known):
        return _no_setting(name)
    return None


def slip_in_file(name: str) -> str | None:
    """A sentence about a name in `.env`, which is ours and Compose's alone; None when it is no mistake."""
    known = {*names(), *ELSEWHERE}
    if name in known:
        return None
    strangers = name.startswith(VOCABULARIES) and all(distance(name, candidate) > NEAR for candidate in known)
    return None if strangers else _no_setting(name, *ELSEWHERE)


def _no_setting(name: str, *others: str) -> str:
    """What to say of an unknown name: the known one that it may stand for, or where all of them are listed."""
    known = (*names(), *sorted(others))
    from difflib import get_close_matches  # noqa: PLC0415 -- for an operator's mistake alone

    near = min(known, key=lambda candidate: distance(name, candidate))
    alike = [near] if distance(name, near) <= NEAR else get_close_matches(name, known, n=1, cutoff=ALIKE)
    return f"{name} is no setting: " + (f"is {alike[0]} meant?" if alike else ".env.example lists them all")


def distance(left: str, right: str) -> int:
    """Levenshtein's: how many letters to insert, drop or change to make one word the other; NEAR + 1 for any more."""
    if abs(len(left) - len(right)) > NEAR or not any(part in left for part in _parts(right)):
        return NEAR + 1
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        previous, row = row, [i]
        for j, b in enumerate(right, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (a != b)))
        if min(row) > NEAR:  # it can only grow: strangers, of which the environment is full, differ at once
            return NEAR + 1
    return row[-1]


def _parts(word: str) -> Iterator[str]:
    """A word in one part more than edits would make it another one: these leave a part of it as it is."""
    size = max(1, -(-len(word) // (NEAR + 1)))
    return (word[begin : begin + size] for begin in range(0, (NEAR + 1) * size, size))


def is_secret(field: str) -> bool:
    """Whether the values of a field are never to be shown."""
    return "SecretStr" in str(Settings.model_fields[field].annotation)


def mistake(details: ErrorDetails) -> str:
    """One line about one refused value."""
    message = details["msg"].removeprefix("Value error, ").rstrip(".")
    if not details["loc"]:
        return message
    field = str(details["loc"][0])
    name = field.upper()
    if details["type"] == "value_error":
        return message if message.startswith(name) else f"{name}: {message}"
    words = PLAIN_WORDS.get(details["type"])
    sentence = f"{name} {words.format(**details.get('ctx', {}))}" if words else f"{name}: {message}"
    if isinstance(details["input"], str | int | float) and not is_secret(field):
        return f"{sentence} (it is {str(details['input'])[:MAX_SHOWN]!r})"
    return sentence


def _read_env_file(path: Path | None) -> tuple[dict[str, str], list[str]]:
    """The file's values that are not empty, by name in capitals, and what is wrong with the file."""
    if path is None:
        return {}, []
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{path} cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return {}, [f"{path} is not UTF-8"]
    readable, mistakes = "", []
    for part in parse_stream(StringIO(text)):
        if part.error or (part.key and part.value is None):
            blank = len(part.original.string) - len(part.original.string.lstrip())
            line = part.original.line + part.original.string[:blank].count("\n")
            mistakes.append(f"{path}, line {line}: not of the form NAME=value")
        else:
            readable += part.original.string
    values = {name.upper(): value for name, value in dotenv_values(stream=StringIO(readable)).items() if value}
    mistakes += [f"{path}: {slip}" for name in values if (slip := slip_in_file(name))]
    return values, mistakes


def _fields(values: dict[str, str]) -> dict[str, str]:
    """The settings among them, by field name."""
    return {name.lower(): value for name, value in values.items() if name.lower() in Settings.model_fields}


def _read_yaml(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The file's settings by field name, and what is wrong with it."""
    import yaml  # noqa: PLC0415 -- no worker reads the file, and few gateways have one

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        return {}, [f"GATEWAY_CONFIG names {path}, which cannot be read: {error.strerror}"]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)  # the library's own text shows the line, which may hold a key
        return {}, [f"{path}, line {mark.line + 1}: not YAML" if mark else f"{path} is no YAML"]
    if content is None:
        return {}, []
    if not isinstance(content, dict):
        return {}, [f"{path} must hold `name: value` lines"]
    values = {FILE_NAMES.get(str(name).lower(), str(name).lower()): value for name, value in content.items()}
    unknown = [name for name in values if name not in Settings.model_fields]
    known = ", ".join(sorted(Settings.model_fields))
    mistakes = [f"{path}: {_unknown_in_yaml(name)}" for name in unknown]
    if unknown:
        mistakes.append(f"{path}: the settings are {known}")
    return {name: value for name, value in values.items() if name not in unknown}, mistakes


def _unknown_in_yaml(name: str) -> str:
    if name.upper() in ELSEWHERE:
        return f"{name} is no setting of the gateway: it is read from the environment or .env alone"
    return _no_setting(name.upper())
