"""How long does Compose let a service finish, and what does it start vLLM with? Read from docker-compose.yml."""

import re
import shlex
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway.cli.check.seconds import seconds

COMPOSE_FILE = Path("docker-compose.yml")
DEFAULT_GRACE_SECS = 10.0
"""What Docker waits between SIGTERM and SIGKILL where the file is silent."""

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:?)([-+?])([^}]*))?\}|(\w+))")


class UnreadableError(Exception):
    """The file is no Compose file; the message says so."""


class Compose:
    """The services of a file.

    Args:
        services: by name, with every `${NAME}` replaced.
    """

    def __init__(self, services: Mapping[str, Mapping[str, Any]]) -> None:
        self._services = services

    @classmethod
    def at_hand(cls, environment: Mapping[str, str]) -> "Compose | None":
        """That of COMPOSE_FILE, where there is one; `environment` is what its `${NAME}` stand for.

        Raises:
            UnreadableError: the file is not what it should be.
        """
        if not COMPOSE_FILE.is_file():
            return None
        import yaml  # noqa: PLC0415 -- many configurations stand alone, and the library takes a while

        try:
            content = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            raise UnreadableError(f"{COMPOSE_FILE}{f', line {mark.line + 1}' if mark else ''}: not YAML") from error
        services = (content or {}).get("services") or {} if isinstance(content, dict | None) else None
        if not isinstance(services, dict) or not all(isinstance(service, dict) for service in services.values()):
            raise UnreadableError(f"{COMPOSE_FILE}: no `services:` with a service each")
        return cls({str(name): _filled(service, environment) for name, service in services.items()})

    def has(self, service: str) -> bool:
        """Whether there is such a service."""
        return service in self._services

    def environment(self, service: str) -> dict[str, str]:
        """What the file itself puts into a service's environment."""
        stated = self._services.get(service, {}).get("environment") or {}
        if isinstance(stated, list):
            return dict(str(line).split("=", 1) for line in stated if "=" in str(line))
        return {str(name): str(value) for name, value in stated.items() if value is not None}

    def grace(self, service: str) -> float:
        """Seconds from SIGTERM to SIGKILL."""
        stated = seconds(str(self._services[service].get("stop_grace_period", "")))
        return DEFAULT_GRACE_SECS if stated is None else stated

    def model_servers(self) -> list[str]:
        """The services that run vLLM, or the simulator in its place."""
        return [name for name, service in self._services.items() if _runs_vllm(service)]

    def argument(self, service: str, flag: str) -> str | None:
        """The value of a flag of a service's command; the last one counts."""
        words = _words(self._services[service].get("command"))
        values = [after for word, after in pairwise(words) if word == flag]
        values += [word.partition("=")[2] for word in words if word.startswith(f"{flag}=")]
        return values[-1] if values else None


def _runs_vllm(service: Mapping[str, Any]) -> bool:
    entrypoint = _words(service.get("entrypoint"))
    return entrypoint[:2] == ["vllm", "serve"] or (not entrypoint and "vllm" in str(service.get("image", "")))


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
