"""Room for models, images and what is written: counted for each file system as a whole."""

from pathlib import Path

import pytest

from gateway.cli.doctor.disk import GB, SUBJECT, Facts, Need, gather
from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.host import Room
from gateway.cli.doctor.site import Site
from gateway.cli.doctor.stack import Service, Stack
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, findings

VLLM = ("vllm", "serve")
MODELS = (Need("Qwen/Qwen2.5-7B-Instruct", 15.3),)
IMAGES = (Need("logs and the ledger", 5.0), Need("vllm/vllm-openai:v0.32.0", 30.0))
CACHE, DOCKER = Path("/srv/hf-cache"), Path("/var/lib/docker")
IMAGE = "vllm/vllm-openai:v0.32.0"
STACK = Stack(
    "inference",
    {
        "chat0": Service("chat0", IMAGE, entrypoint=VLLM, command=("Qwen/Qwen2.5-7B-Instruct",)),
        "embed": Service("embed", IMAGE, entrypoint=VLLM, command=("Snowflake/snowflake-arctic-embed-l-v2.0",)),
        "own": Service("own", IMAGE, entrypoint=VLLM, command=("our/model",)),
    },
)


def disk(cache: float, docker: float, *, one: bool = False) -> Facts:
    """So many free GB for each, on one file system or two."""
    rooms = (Room(1, int(cache * GB)), Room(1 if one else 2, int(docker * GB)))
    return Facts(CACHE, rooms[0], MODELS, DOCKER, rooms[1], IMAGES)


CLEAN = disk(16, 40)
FAULTS = [
    Row("room", disk(15, 40), Level.ERROR, "15 GB are free for /srv/hf-cache, and 15 will be needed: Qwen", "HF_HOME="),
    Row("room", disk(16, 34), Level.ERROR, "34 GB are free for /var/lib/docker", "docker system prune"),
    Row(
        "room", disk(50, 50, one=True), Level.ERROR, "for /srv/hf-cache and /var/lib/docker, and 50 will be needed", ""
    ),
    Row("sizes", Facts(CACHE, Room(1, GB), (), None, None, (), ("our/model",)), Level.NOTE, "our/model", ""),
    Row("places", Facts(CACHE, None, (), DOCKER, Room(1, GB), ()), Level.NOTE, "/srv/hf-cache, cannot be", "sudo df"),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


def test_two_places_on_one_disk_share_its_room() -> None:
    assert [one.level for one in findings(SUBJECT, "room", disk(51, 51, one=True))] == [Level.OK]


def test_what_is_there_already_needs_no_room(tmp_path: Path) -> None:
    marks = tmp_path / "hf-cache" / ".complete"
    marks.mkdir(parents=True)
    (marks / "Qwen--Qwen2.5-7B-Instruct").touch()
    info = {"DockerRootDir": "/var/lib/docker", "ServerVersion": "28.2.2"}
    rooms = {str(tmp_path / "hf-cache"): Room(1, GB), "/var/lib/docker": Room(2, GB)}
    facts = gather(RecordedHost(rooms=rooms), Site(tmp_path, stack=STACK, info=info))
    assert facts.models == (Need("Snowflake/snowflake-arctic-embed-l-v2.0", 2.4),)
    assert facts.unknown == ("our/model",)
    assert [need.what for need in facts.images] == ["logs and the ledger", "the gateway's image", IMAGE]
    here = RecordedHost({"docker image inspect": "sha256:1\n"}, rooms=rooms)
    assert [need.what for need in gather(here, Site(tmp_path, stack=STACK, info=info)).images][2:] == []


def test_the_stack_without_gpus_fetches_nothing(tmp_path: Path) -> None:
    facts = gather(RecordedHost(), Site(tmp_path, simulated=True, stack=STACK))
    assert (facts.models, facts.unknown) == ((), ())
