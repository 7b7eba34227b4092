"""How long does Compose let a service finish, and what does it start vLLM with? Read from its files."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway.cli.check.seconds import seconds

COMPOSE_FILE = Path("docker-compose.yml")
OVERRIDE_FILES = tuple(
    Path(f"{stem}.override.{suffix}") for stem in ("compose", "docker-compose") for suffix in ("yml", "yaml")
)
"""Compose merges the first of these that is there into COMPOSE_FILE, unless it is told by `-f` what to read."""
DEFAULT_GRACE_SECS = 10.0
"""What Docker waits between SIGTERM and SIGKILL where the file is silent."""

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:?)([-+?])([^}]*))?\}|(\w+))")


class UnreadableError(Exception):
    """The file is no Compose file; the message says so."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A value that an override file does not merge with what stands below it: tagged `!override`, or `!reset`."""

    value: Any


class Compose:
    """The services of a folder's Compose files.

    Args:
        services: by name, with every `${NAME}` replaced.
        name: of the files, for people.
    """

    def __init__(self, services: Mapping[str, Mapping[str, Any]], name: str = str(COMPOSE_FILE)) -> None:
        self.services = services
        self.name = name

    @classmethod
    def at_hand(cls, environment: Mapping[str, str]) -> "Compose | None":
        """Those of COMPOSE_FILE and its override, where there is one; `environment` is what `${NAME}` stand for.

        Raises:
            UnreadableError: a file is not what it should be.
        """
        if not COMPOSE_FILE.is_file():
            return None
        files = [COMPOSE_FILE, *[file for file in OVERRIDE_FILES if file.is_file()][:1]]
        services: Any = {}
        for file in files:
            services = _merged(services, _services(file))
        filled = {str(name): _filled(service, environment) for name, service in services.items()}
        return cls(filled, " with ".join(map(str, files)))

    def has(self, service: str) -> bool:
        """Whether there is such a service."""
        return service in self.services

    def environment(self, service: str) -> dict[str, str]:
        """What the file itself puts into a service's environment."""
        stated = _by_name(self.services.get(service, {}).get("environment")) or {}
        return {str(name): str(value) for name, value in stated.items() if value is not None}

    def grace(self, service: str) -> float:
        """Seconds from SIGTERM to SIGKILL."""
        stated = seconds(str(self.services[service].get("stop_grace_period", "")))
        return DEFAULT_GRACE_SECS if stated is None else stated

    def model_servers(self) -> list[str]:
        """The services that run vLLM, or the simulator in its place."""
        return [name for name, service in self.services.items() if _runs_vllm(service)]

    def argument(self, service: str, flag: str) -> str | None:
        """The value of a flag of a service's command; the last one counts."""
        words = _words(self.services[service].get("command"))
        values = [after for word, after in pairwise(words) if word == flag]
        values += [word.partition("=")[2] for word in words if word.startswith(f"{flag}=")]
        return values[-1] if values else None


def _services(file: Path) -> dict[str, Any]:
    """The services of one file, the environment of each as a mapping.

    Raises:
        UnreadableError: the file is not what it should be.
    """
    import yaml  # noqa: PLC0415 -- many configurations stand alone, and the library takes a while

    class Loader(yaml.SafeLoader):
        """Knows the tags of override files."""

    for tag, make in (("!reset", lambda *_: Replaced(None)), ("!override", _untagged)):
        Loader.add_constructor(tag, make)
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader)  # noqa: S506 -- a safe loader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise UnreadableError(f"{file}{f', line {mark.line + 1}' if mark else ''}: not YAML") from error
    services = (content or {}).get("services") or {} if isinstance(content, dict | None) else None
    if not isinstance(services, dict) or not all(isinstance(it, dict | Replaced) for it in services.values()):
        raise UnreadableError(f"{file}: no `services:` with a service each")
    for service in services.values():
        if isinstance(service, dict) and "environment" in service:
            service["environment"] = _by_name(service["environment"])
    return services


def _untagged(loader: Any, node: Any) -> Replaced:  # noqa: ANN401 -- the library's, which is imported where it is used
    make = {"mapping": loader.construct_mapping, "sequence": loader.construct_sequence}.get(node.id)
    return Replaced(make(node, deep=True) if make else loader.construct_scalar(node))


def _by_name(environment: Any) -> Any:  # noqa: ANN401 -- a YAML tree
    """A service's environment as a mapping, where it is a list of `NAME=value`."""
    if not isinstance(environment, list):
        return environment
    return dict(str(line).split("=", 1) for line in environment if "=" in str(line))


def _merged(below: Any, above: Any) -> Any:  # noqa: ANN401 -- YAML trees
    """What Compose makes of two files, in all that is read here: mappings are merged, other values replaced."""
    if isinstance(above, Replaced):
        return above.value
    if isinstance(above, dict):
        base = below if isinstance(below, dict) else {}
        merged = {**base, **{name: _merged(base.get(name), value) for name, value in above.items()}}
        return {name: value for name, value in merged.items() if value is not None}
    return below if above is None else above


def _runs_vllm(service: Mapping[str, Any]) -> bool:
    entrypoint = _words(service.get("entrypoint"))
    return "vllm serve" in " ".join(entrypoint) or (not entrypoint and "vllm" in str(service.get("image", "")))


def _words(command: object) -> list[str]:
    if isinstance(command, list):
        return [str(word) for word in command]
    try:
        return shlex.split(command) if isinstance(command, str) else []
    except ValueError:  # a quotation without an end, which Compose will refuse
        return []


def _filled(value: Any, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 -- a YAML tree
    """The same tree with each `${NAME}` of its texts replaced, as Compose does."""
    if isinstance(value, dict):
        return {key: _filled(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, environment) for item in value]
    return _VARIABLE.sub(lambda found: _value(found, environment), value) if isinstance(value, str) else value


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    dollar, name, colon, operator, words, bare = found.groups()
    if dollar:
        return "$"
    value = environment.get(name or bare)
    is_set = bool(value) if colon else value is not None
    if operator == "-" and not is_set:
        return str(words)
    if operator == "+":
        return str(words) if is_set else ""
    return value or ""
