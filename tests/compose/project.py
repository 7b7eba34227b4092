"""How do tests call Compose? With the repository's files, settings of their own and keys that can be searched for."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tests.support import docker

ROOT = Path(__file__).resolve().parents[2]
REAL = ("docker-compose.yml",)
SIMULATED = ("docker-compose.yml", "compose.sim.yml")
MONITORING = ("docker-compose.monitoring.yml",)

GATEWAY_KEY = "sk-canary-of-the-clients-3f1d0c5e7a9b2468"
BACKEND_KEY = "sk-canary-of-the-backends-8c6e4a2f0b1d3579"
HUB_TOKEN = "hf_canary_of_the_hub_5a7c9e1b3d2f4680"
KEYS = {"GATEWAY_API_KEY": GATEWAY_KEY, "BACKEND_API_KEY": BACKEND_KEY, "HUGGING_FACE_HUB_TOKEN": HUB_TOKEN}
PASSWORDS = {
    "VALKEY_PASSWORD": "canary-of-valkey-2b4d6f8091a3c5e7",
    "POSTGRES_PASSWORD": "canary-of-postgres-9c7e5a3b1d0f2846",
}
GRAFANA_PASSWORD = "canary-of-grafana-1b3d5f7092846ace"


class Project:
    """A set of Compose files with one `.env`."""

    def __init__(self, directory: Path, files: tuple[str, ...], settings: Mapping[str, str] = KEYS) -> None:
        """`settings` become the `.env`, which lies in `directory`."""
        self._env_file = directory / ".env"
        self._settings = dict(settings)
        self._files = [word for name in files for word in ("--file", str(ROOT / name))]
        self._write()

    def set(self, name: str, value: str) -> None:
        """Change a line of `.env`, as an operator would; what runs has read it already."""
        self._settings[name] = value
        self._write()

    def run(self, *arguments: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """`docker compose ARGUMENTS`; a failure is the caller's to read."""
        return self._run("docker", "compose", *self._options(), *arguments, seconds=seconds)

    def script(self, path: str, seconds: float, **environment: str) -> subprocess.CompletedProcess[str]:
        """A script of the repository that hands its arguments to `docker compose`."""
        return self._run(path, *self._options(), seconds=seconds, **environment)

    def paste(self, commands: str, seconds: float) -> str:
        """What commands print that a page shows, in the folder of `.env`; they must go well, every one."""
        env_file = str(self._env_file)
        chosen = {"COMPOSE_FILE": ":".join(self._files[1::2]), "COMPOSE_ENV_FILES": env_file}
        answer = self._run(
            "bash", "-c", f"cd {self._env_file.parent}\nset -euo pipefail\n{commands}", seconds=seconds, **chosen
        )
        assert answer.returncode == 0, f"{answer.stdout[-3000:]}\n{answer.stderr[-3000:]}"
        return answer.stdout

    def _write(self) -> None:
        self._env_file.write_text("".join(f"{name}={value}\n" for name, value in self._settings.items()))

    def _options(self) -> list[str]:
        return ["--env-file", str(self._env_file), *self._files]

    def _run(self, *command: str, seconds: float, **more: str) -> subprocess.CompletedProcess[str]:
        # Nothing of the developer's own settings: Compose prefers the environment to the file.
        ours = os.environ  # noqa: TID251 -- where docker and its settings are
        passed_on = {name: ours[name] for name in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG") if name in ours}
        environment = {**passed_on, "GATEWAY_ENV_FILE": str(self._env_file), **more}
        return subprocess.run(  # noqa: S603 -- fixed words
            command, env=environment, capture_output=True, text=True, check=False, timeout=seconds
        )

    def config(self) -> dict[str, Any]:
        """The files as Compose understands them."""
        answer = self.run("config", "--format", "json")
        assert answer.returncode == 0, answer.stderr
        decoded: dict[str, Any] = msgspec.json.decode(answer.stdout)
        return decoded


def need_compose() -> None:
    """Skip, or fail where CI is set, without Compose v2."""
    if (reason := docker.missing_compose()) is not None:
        docker.skip_or_fail(f"needs Docker Compose >= 2.24: {reason} (tests/standins/compose-v2.sh installs it)")
