"""What is looked up once for all subjects: the files as Compose reads them, the engine, and its containers."""

import shutil
from pathlib import Path

import orjson
import pytest

from gateway.cli.doctor.host import Answer, Host
from gateway.cli.doctor.site import of_project, survey
from gateway.settings import names
from tests.cli.doctor.recorded import RecordedHost

VLLM = ("vllm", "serve")
ROOT = Path(__file__).parents[3]
CONTAINER = {"State": {"Running": False}, "Config": {"Labels": {}}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with the Compose files."""
    for name in (*names(), "GATEWAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_compose_understands_goes_before_the_files(folder: Path) -> None:
    config = {"name": "other", "services": {"nginx": {}}}
    said = {
        "docker compose config": orjson.dumps(config).decode(),
        "docker info": '{"ServerVersion": "28.2.2"}',
        "docker ps --all --quiet --no-trunc --filter label=com.docker.compose.project=other": "abc\n",
        "docker inspect abc": orjson.dumps([CONTAINER]).decode(),
    }
    host: Host = RecordedHost(said)
    site = survey(host, folder)
    assert (site.stack.project, list(site.stack.services), site.answers) == ("other", ["nginx"], True)
    assert (site.containers, site.running) == ((CONTAINER,), ())
    assert site.typed("up", "-d") == "docker compose up -d"


def test_without_docker_the_files_are_read_as_they_are(folder: Path) -> None:
    (folder / ".env").write_text("HTTPS_PORT=8443\nEMBED_VLLM_ARGS=--gpu-memory-utilization 0.4\n")
    site = survey(RecordedHost(variables={"HTTP_PORT": "8080"}), folder)
    assert not site.answers
    assert {port.published for _, port in site.stack.ports()} == {8080, 8443}
    embed = site.stack.services["embed"]
    assert (embed.gpus, embed.flag("--gpu-memory-utilization")) == (("3",), "0.4")
    (folder / "docker-compose.yml").write_text("services: [")
    assert survey(RecordedHost(), folder).stack.services == {}


def test_without_gpus_both_files_are_named_in_every_command(folder: Path) -> None:
    site = survey(RecordedHost(), folder, simulated=True)
    assert site.typed("up", "-d") == "docker compose -f docker-compose.yml -f compose.sim.yml up -d"


def test_a_project_without_containers_asks_docker_no_further() -> None:
    assert of_project(RecordedHost({"docker ps": Answer(0, "\n")}), "inference") == ()
