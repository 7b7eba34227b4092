"""What do the manifests amount to? An overlay as kustomize builds it, from a copy that has made-up secrets."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support import docker

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(folder.name for folder in (KUBERNETES / "overlays").iterdir())
IMAGE = "registry.k8s.io/kustomize/kustomize:v5.8.1"
MINIMUM = 5
"""The first version of kustomize that reads all of these files as they are meant; kubectl brings it since 1.27."""

SECRETS = {
    "GATEWAY_API_KEY": "sk-canary-of-the-clients-3f1d0c5e7a9b2468",
    "BACKEND_API_KEY": "canary-of-the-backends-8c6e4a2f0b1d3579",
    "ADMIN_API_KEY": "canary-of-the-operators-1b3d5f7092846ace",
    "KEY_HASH_SECRET": "canary-of-the-hashes-5a7c9e1b3d2f4680",
    "VALKEY_PASSWORD": "canary-of-valkey-0f1e2d3c4b5a6978",
    "POSTGRES_PASSWORD": "canary-of-postgres-8796a5b4c3d2e1f0",
}
"""What docs/scale-out.md has one write into secrets.env."""

Manifest = dict[str, Any]


def copied(into: Path, secrets: dict[str, str] | None = None) -> Path:
    """deploy/kubernetes in another folder, each overlay with its secrets.env; nobody's own is taken along."""
    folder = into / "kubernetes"
    shutil.copytree(KUBERNETES, folder, ignore=shutil.ignore_patterns("secrets.env"))
    lines = "".join(f"{name}={value}\n" for name, value in (SECRETS if secrets is None else secrets).items())
    for overlay in OVERLAYS:
        (folder / "overlays" / overlay / "secrets.env").write_text(lines)
    return folder


def build(folder: Path, overlay: str) -> subprocess.CompletedProcess[str]:
    """`kustomize build` of an overlay in that copy; a failure is the caller's to read."""
    return docker.run(*_command(folder), f"{folder}/overlays/{overlay}")


def manifests(folder: Path, overlay: str) -> list[Manifest]:
    """What it builds, in kustomize's order."""
    answer = build(folder, overlay)
    assert answer.returncode == 0, answer.stderr
    return list(yaml.safe_load_all(answer.stdout))


def _command(folder: Path) -> list[str]:
    own = _installed()
    if own is not None:
        return own
    reason = docker.missing_engine() or docker.missing_image(IMAGE, standin="kustomize")
    if reason is not None:
        docker.skip_or_fail(f"needs kustomize {MINIMUM} or a kubectl that brings it: {reason}")
    return ["docker", "run", "--rm", "--network", "none", "--volume", f"{folder}:{folder}:ro", IMAGE, "build"]


@cache
def _installed() -> list[str] | None:
    """This machine's own, where it is new enough."""
    for version, command in (
        (["kustomize", "version"], ["kustomize", "build"]),
        (["kubectl", "version", "--client"], ["kubectl", "kustomize"]),
    ):
        if shutil.which(version[0]) is None:
            continue
        said = re.search(r"(?:Kustomize Version: |^)v?(\d+)\.", docker.run(*version).stdout, re.MULTILINE)
        if said is not None and int(said[1]) >= MINIMUM:
            return command
    return None
