"""Is there room for what will be fetched and written: the models, the images, logs and the ledger?"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gateway.cli.capacity.models import MODELS, SIXTEEN_BITS
from gateway.cli.doctor.finding import Check, Finding, Subject, error, note, ok
from gateway.cli.doctor.host import Host, Room
from gateway.cli.doctor.site import Site

GB = 1_000_000_000
TOKENIZER_GB = 0.1
MODELS_GB: Mapping[str, float] = {
    **{model.name: model.parameters * SIXTEEN_BITS / GB + TOKENIZER_GB for model in MODELS.values()},
    "Snowflake/snowflake-arctic-embed-l-v2.0": 2.4,
    "BAAI/bge-reranker-v2-m3": 2.4,
}
"""What the `models` service fetches of each: decoders in 16 bits, the two encoders of 568 million parameters in 32."""
VLLM_IMAGE_GB = 30.0
"""Unpacked; estimated from the layers of earlier releases, as an image that is not here has no size."""
OWN_IMAGE_GB = 1.0
WRITTEN_GB = 5.0
"""Logs (five files of 50 MB a service), the audit trail (ten of 64 MiB), the ledger, and a rebuilt image."""
MARKS = ".complete"
"""The folder in which `models` marks what it has fetched whole."""


class Need(NamedTuple):
    """Something that wants room, in GB."""

    what: str
    gb: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What will be written where.

    Args:
        cache: of models, and what is missing there.
        docker: the engine's folder, and what will come there.
        unknown: models whose size is not known here.
    """

    cache: Path
    cache_room: Room | None
    models: tuple[Need, ...]
    docker: Path | None
    docker_room: Room | None
    images: tuple[Need, ...]
    unknown: tuple[str, ...] = ()


def gather(host: Host, site: Site) -> Facts:
    """Look what is there already, and how much room is left."""
    cache = site.folder / (site.values.get("HF_HOME") or "hf-cache")
    served = sorted({one.model for one in site.stack.services.values() if one.model})
    wanted = (
        [] if site.simulated else [name for name in served if not (cache / MARKS / name.replace("/", "--")).exists()]
    )
    root = Path(site.info["DockerRootDir"]) if site.info.get("DockerRootDir") else None
    images = [Need("logs and the ledger", WRITTEN_GB), Need("the gateway's image", OWN_IMAGE_GB)]
    served_by = sorted({one.image for one in site.stack.services.values() if one.model and one.image})
    images += [Need(image, VLLM_IMAGE_GB) for image in served_by if not _is_here(host, image)]
    return Facts(
        cache,
        host.room(cache),
        tuple(Need(name, MODELS_GB[name]) for name in wanted if name in MODELS_GB),
        root,
        host.room(root) if root else None,
        tuple(images),
        tuple(name for name in wanted if name not in MODELS_GB),
    )


def _is_here(host: Host, image: str) -> bool:
    return host.run("docker", "image", "inspect", "--format", "{{.Id}}", image).good


def room(facts: Facts) -> Iterable[Finding]:
    """Does each file system hold what will be written there, all of it together?"""
    needs: dict[int, list[Need]] = defaultdict(list)
    places: dict[int, list[Path]] = defaultdict(list)
    free: dict[int, int] = {}
    for place, has, wants in (
        (facts.cache, facts.cache_room, facts.models),
        (facts.docker, facts.docker_room, facts.images),
    ):
        if place is not None and has is not None:
            needs[has.device].extend(wants)
            places[has.device].append(place)
            free[has.device] = has.free
    for device, counted in needs.items():
        where = " and ".join(map(str, places[device]))
        total, has_gb = sum(need.gb for need in counted), free[device] / GB
        listed = ", ".join(f"{need.what} {need.gb:.0f}" for need in counted)
        if has_gb >= total:
            yield ok(f"{has_gb:.0f} GB are free for {where}" + (f"; {total:.0f} will be needed" if total else ""))
            continue
        yield error(
            f"{has_gb:.0f} GB are free for {where}, and {total:.0f} will be needed: {listed}",
            "a download or an image breaks off half-way, or the ledger cannot be written",
            "HF_HOME=/a/larger/disk in .env for the models; docker system prune for images that nobody uses",
        )


def unknown(facts: Facts) -> Iterable[Finding]:
    """Which models' sizes are not known?"""
    for name in facts.unknown:
        yield note(f"how large {name} is, is not known here", "the room for it is not counted")


def seen(facts: Facts) -> Iterable[Finding]:
    """Could both places be looked at?"""
    for what, place, has in (
        ("the models' folder", facts.cache, facts.cache_room),
        ("Docker's folder", facts.docker, facts.docker_room),
    ):
        if place is not None and has is None:
            yield note(f"{what}, {place}, cannot be looked at", mend=f"sudo df -h {place}")


SUBJECT = Subject("Disk", gather, (Check("room", room), Check("sizes", unknown), Check("places", seen)))
