"""What would Compose start? Services, their GPUs, ports and settings, from what `docker compose config` understands."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

Tree = Mapping[str, Any]
"""A part of what Compose writes."""

_PUBLISHED = re.compile(r"(?:(?P<host>\[[^\]]+\]|[^:]+):)?(?P<published>\d+):(?P<target>\d+)(?:/\w+)?")
_DOLLARS = "$$"
"""How Compose writes one that stands for itself."""


class Port(NamedTuple):
    """A port of a container that the host has too; an empty address is each of the host's."""

    address: str
    published: int
    target: int


@dataclass(frozen=True, slots=True)
class Service:
    """One of them.

    Args:
        gpus: numbers or UUIDs of the cards that are handed to it.
        entrypoint: what starts it, where the files say so; the image has its own else.
        command: the words behind that.
        environment: what its container is given; None is what Compose leaves out.
    """

    name: str
    image: str = ""
    container: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def model(self) -> str | None:
        """The model that vLLM serves here; None: this is no model server."""
        runs_vllm = "vllm serve" in " ".join(self.entrypoint) or (not self.entrypoint and "vllm" in self.image)
        return self.command[0] if runs_vllm and self.command else None

    def flag(self, name: str) -> str | None:
        """A flag's value; the last one counts, and vLLM takes `_` for `-` in its name."""
        values = []
        for word, after in pairwise((*self.command, "")):
            stated, equals, value = word.partition("=")
            if stated.replace("_", "-") == name:
                values.append(value if equals else after)
        return values[-1] if values else None


@dataclass(frozen=True, slots=True)
class Network:
    """One that Compose makes: its name on the host, its fixed subnet if it has one, and whether it speaks IPv6."""

    name: str
    subnet: str = ""
    ipv6: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """What stands in the Compose files, every variable filled in."""

    project: str
    services: Mapping[str, Service]
    networks: Mapping[str, Network] = field(default_factory=dict)

    @classmethod
    def read(cls, config: Tree) -> "Stack":
        """From the JSON of `docker compose config`, or from files read without it, which have the short forms."""
        services = {str(name): service(str(name), tree) for name, tree in (config.get("services") or {}).items()}
        networks = {str(name): _network(str(name), tree or {}) for name, tree in (config.get("networks") or {}).items()}
        return cls(str(config.get("name") or ""), services, networks)

    def ports(self) -> list[tuple[str, Port]]:
        """Every port on the host, and whose it is."""
        return [(one.name, port) for one in self.services.values() for port in one.ports]


def service(name: str, tree: Tree) -> Service:
    """One service of the tree."""
    return Service(
        name,
        image=str(tree.get("image") or ""),
        container=str(tree.get("container_name") or ""),
        entrypoint=tuple(_words(tree.get("entrypoint"))),
        command=tuple(_words(tree.get("command"))),
        gpus=tuple(_gpus(tree)),
        ports=tuple(_ports(tree)),
        environment=_environment(tree.get("environment")),
    )


def _words(command: object) -> list[str]:
    if isinstance(command, list):
        return [str(word).replace(_DOLLARS, "$") for word in command]
    try:
        return shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        return []


def _gpus(tree: Tree) -> Iterator[str]:
    found: Any = tree
    for key in ("deploy", "resources", "reservations", "devices"):
        found = (found or {}).get(key)
    for device in found or []:
        if "gpu" in (device.get("capabilities") or []):
            yield from map(str, device.get("device_ids") or [])


def _ports(tree: Tree) -> Iterator[Port]:
    for port in tree.get("ports") or []:
        if isinstance(port, dict):
            published = str(port.get("published") or "")
            if published.isdigit():
                yield Port(str(port.get("host_ip") or ""), int(published), int(port["target"]))
        elif found := _PUBLISHED.fullmatch(str(port)):
            yield Port((found["host"] or "").strip("[]"), int(found["published"]), int(found["target"]))


def _environment(stated: object) -> dict[str, str | None]:
    if isinstance(stated, list):
        stated = dict(str(line).split("=", 1) for line in stated if "=" in str(line))
    pairs = (stated or {}).items() if isinstance(stated, dict | None) else ()
    return {str(name): None if value is None else str(value).replace(_DOLLARS, "$") for name, value in pairs}


def _network(name: str, tree: Tree) -> Network:
    config = (tree.get("ipam") or {}).get("config") or [{}]
    return Network(str(tree.get("name") or name), str(config[0].get("subnet") or ""), bool(tree.get("enable_ipv6")))
