"""Where do we look? The folder, what Compose would start from it, and what the Docker engine says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway.cli.check.compose_file import COMPOSE_FILE, Compose, UnreadableError
from gateway.cli.check.neighbours import seen_by_compose
from gateway.cli.doctor.host import Answer, Host
from gateway.cli.doctor.stack import Stack

SIMULATED = (str(COMPOSE_FILE), "compose.sim.yml")
NO_DOCKER = Answer(None)


@dataclass(frozen=True, slots=True)
class Site:
    """What several subjects look at.

    Args:
        folder: with the Compose files and `.env`.
        simulated: whether the simulator stands in for vLLM (compose.sim.yml).
        values: what `${NAME}` stands for in the Compose files.
        config: what `docker compose config` answered.
        stack: what Compose would start, read without it where it does not answer.
        engine: what `docker info` answered, and
        info: its content.
        containers: those of this project, ended ones included, as `docker inspect` has them.
    """

    folder: Path
    simulated: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    config: Answer = NO_DOCKER
    stack: Stack = field(default_factory=lambda: Stack("", {}))
    engine: Answer = NO_DOCKER
    info: Mapping[str, Any] = field(default_factory=dict)
    containers: tuple[Mapping[str, Any], ...] = ()

    @property
    def answers(self) -> bool:
        """Whether the engine does."""
        return bool(self.info.get("ServerVersion"))

    @property
    def compose(self) -> tuple[str, ...]:
        """The command line up to Compose's own command, as an operator types it."""
        files = [word for name in SIMULATED for word in ("-f", name)] if self.simulated else []
        return ("docker", "compose", *files)

    def typed(self, *words: str) -> str:
        """A command of Compose's, as an operator types it."""
        return " ".join((*self.compose, *words))

    @property
    def running(self) -> tuple[Mapping[str, Any], ...]:
        """The project's containers that run."""
        return tuple(one for one in self.containers if one["State"].get("Running"))


def survey(host: Host, folder: Path, *, simulated: bool = False) -> Site:
    """Look around in the current folder, which is `folder`."""
    site = Site(folder, simulated)
    values = seen_by_compose(host.environment())
    config = host.run(*site.compose, "config", "--format", "json")
    engine = host.run("docker", "info", "--format", "{{json .}}")
    stack = read_stack(config, values)
    info = decoded(engine.out) or {}
    containers = of_project(host, stack.project) if info.get("ServerVersion") and stack.project else ()
    return Site(folder, simulated, values, config, stack, engine, info, containers)


def read_stack(config: Answer, values: Mapping[str, str]) -> Stack:
    """What Compose understood; without Compose, what its files say, and nothing where they are no Compose files."""
    if config.good and (tree := decoded(config.out)):
        return Stack.read(tree)
    try:
        files = Compose.at_hand(values)
    except UnreadableError:
        files = None
    return Stack.read({"services": files.services if files else {}})


def of_project(host: Host, project: str) -> tuple[Mapping[str, Any], ...]:
    """The containers of a project, as `docker inspect` has them."""
    label = f"label=com.docker.compose.project={project}"
    ids = host.run("docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", label).out.split()
    found = decoded(host.run("docker", "inspect", *ids).out) if ids else None
    return tuple(found or ())


def decoded(text: str) -> Any:  # noqa: ANN401 -- whatever Docker writes
    """JSON, or None where it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def service_of(container: Mapping[str, Any]) -> str:
    """The service that a container is of."""
    return str((container["Config"].get("Labels") or {}).get("com.docker.compose.service", ""))
