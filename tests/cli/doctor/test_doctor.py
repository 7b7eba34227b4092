"""The whole command, as an operator types it, on this very host."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.cli.doctor.site import Site
from gateway.cli.doctor.table import SUBJECTS, examine
from gateway.settings import names
from tests.cli.doctor.recorded import RecordedHost
from tests.compose.project import need_compose
from tests.support import docker
from tests.support.nginx import development_certificate

ROOT = Path(__file__).parents[3]
ENOUGH_SECS = 120


def doctor(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """`gateway doctor` there; `path` replaces the places where programs are found."""
    ours = os.environ  # noqa: TID251 -- handed on
    environment = {name: value for name, value in ours.items() if name not in {*names(), "GATEWAY_CONFIG"}}
    return subprocess.run(  # noqa: S603 -- this interpreter, our own module
        [sys.executable, "-P", "-m", "gateway", "doctor", *arguments],
        cwd=folder,
        env={**environment, "PATH": environment["PATH"] if path is None else path},
        capture_output=True,
        text=True,
        timeout=ENOUGH_SECS,
        check=False,
    )


def told(folder: Path, *arguments: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit status, and the findings by level."""
    result = doctor(folder, "--json", *arguments)
    levels: dict[str, list[dict[str, Any]]] = {"ok": [], "note": [], "warning": [], "error": []}
    for one in orjson.loads(result.stdout)["findings"]:
        levels[one["level"]].append(one)
    return result.returncode, levels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout that is ready for its first start without GPUs, on ports that are free."""
    for name in ("docker-compose.yml", "compose.sim.yml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "nginx", tmp_path / "nginx")
    made = subprocess.run(
        [sys.executable, "-P", "-m", "gateway", "init"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    ports = f"HTTP_PORT={free_port()}\nHTTPS_PORT={free_port()}\nEDGE_SUBNET=10.198.78.0/24\n"
    (tmp_path / ".env").write_text((tmp_path / ".env").read_text() + ports)
    assert development_certificate(tmp_path / "certs").returncode == 0
    return tmp_path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def _engine() -> None:
    if (reason := docker.missing_engine()) is not None:
        docker.skip_or_fail(f"needs a Docker engine: {reason}")
    need_compose()


@pytest.mark.usefixtures("_engine")
def test_a_host_without_gpus_can_carry_the_stack_on_the_simulator(folder: Path) -> None:
    status, levels = told(folder, "--sim")
    assert (status, levels["error"]) == (0, [])
    good = {(one["subject"], one["check"]) for one in levels["ok"]}
    assert {("Docker", "files"), ("Ports", "ports"), ("Certificate", "pair"), (".env", "settings")} <= good
    assert ("Time-outs", "ladder") in good
    assert not any(one["subject"] == "GPUs" for found in levels.values() for one in found)


@pytest.mark.usefixtures("_engine")
@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there are GPUs here")
def test_a_host_without_gpus_is_told_so_and_what_installs_a_driver(folder: Path) -> None:
    result = doctor(folder)
    assert result.returncode == 1
    assert "no answer of nvidia-smi: there is no nvidia-smi here" in result.stdout
    assert "make deploy SIM=1" in result.stdout
    assert "the stack will not do before the errors are mended" in result.stdout
    assert result.stderr == ""


@pytest.mark.usefixtures("_engine")
def test_faults_of_the_folder_are_errors_with_what_mends_them(folder: Path) -> None:
    (folder / "certs" / "privkey.pem").unlink()
    text = (folder / ".env").read_text().replace("BACKEND_API_KEY=", "BACKEND_API_KEY=change-me #")
    (folder / ".env").write_text(f"{text}GATEWAY_WORKRES=3\n")
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104 -- as a web server that is there already
        (folder / ".env").write_text(f"{text}GATEWAY_WORKRES=3\nHTTPS_PORT={taken.getsockname()[1]}\n")
        status, levels = told(folder, "--sim")
    assert status == 1
    seen = {(one["subject"], one["check"]) for one in levels["error"]}
    assert seen == {("Certificate", "files"), (".env", "settings"), ("Ports", "ports")}
    said = " ".join(one["seen"] for one in levels["error"])
    assert "is GATEWAY_WORKERS meant?" in said
    assert "BACKEND_API_KEY holds a placeholder" in said
    assert all(one["mend"] for one in levels["error"])


def test_an_empty_folder_on_a_host_with_nothing_installed_gets_findings_and_no_traceback(tmp_path: Path) -> None:
    result = doctor(tmp_path, path=str(tmp_path))
    assert (result.returncode, result.stderr) == (1, "")
    assert "there is no docker here" in result.stdout
    assert "there is no .env" in result.stdout


def test_every_subject_can_look_at_a_host_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    silent = list(examine(RecordedHost(), Site(tmp_path)))
    assert {one.subject for one in silent} == {subject.name for subject in SUBJECTS} - {
        "Clients",
        "Ports",
        "Versions",
    }


def test_no_secret_is_shown(folder: Path) -> None:
    (folder / ".env").write_text((folder / ".env").read_text() + "GRAFANA_ADMIN_PASSWORD=hunter2\n")
    result = doctor(folder, "--sim")
    keys = [line.partition("=")[2] for line in (folder / ".env").read_text().splitlines() if "_KEY=" in line]
    assert [key for key in (*keys, "hunter2") if key and not key.startswith("#") and key in result.stdout] == []
