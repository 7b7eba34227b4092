"""Is anything installed in a version that is known to be bad? One row for each range, with what is bad about it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.cli.doctor.finding import Check, Finding, Level, Subject, note, ok, warning
from gateway.cli.doctor.host import Host
from gateway.cli.doctor.site import Site, decoded

Version = tuple[int, ...]
ENGINE, COMPOSE, RUNC = "Docker engine", "Compose", "runc"
TOOLKIT, DRIVER = "NVIDIA container toolkit", "NVIDIA driver"
NGINX, VLLM = "nginx image", "vLLM image"
UPGRADE = "sudo apt-get update && sudo apt-get install --only-upgrade"
DOCKER_GUIDE = "https://docs.docker.com/engine/install/"


class Bad(NamedTuple):
    """Versions of a part that do not do.

    Attributes:
        since: the first bad one.
        fixed: the first that is good again.
        means: what is bad about them, and who says so.
    """

    part: str
    since: Version
    fixed: Version
    level: Level
    means: str
    mend: str


BACKPORTS = "a distribution may have mended it without another number: apt changelog"
KNOWN_BAD = (
    Bad(COMPOSE, (0,), (2, 24), Level.ERROR, "`!reset` and `!override` of compose.sim.yml need 2.24", DOCKER_GUIDE),
    Bad(ENGINE, (0,), (20, 10), Level.ERROR, "this stack was never seen to start before 20.10", DOCKER_GUIDE),
    Bad(
        *(RUNC, (0,), (1, 2, 8), Level.WARNING),
        f"a container can break out (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881); {BACKPORTS} runc",
        f"{UPGRADE} containerd.io runc",
    ),
    Bad(
        *(RUNC, (1, 3), (1, 3, 3), Level.WARNING),
        f"a container can break out (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881); {BACKPORTS} runc",
        f"{UPGRADE} containerd.io runc",
    ),
    Bad(
        *(TOOLKIT, (0,), (1, 17, 8), Level.WARNING),
        "a container with a GPU can become root of the host (CVE-2025-23266, CVE-2025-23359, CVE-2024-0132)",
        f"{UPGRADE} nvidia-container-toolkit",
    ),
    Bad(
        *(NGINX, (0,), (1, 30), Level.ERROR),
        "nginx.conf has directives that older ones refuse: nginx does not start",
        "NGINX_IMAGE=nginx:1.30-alpine in .env",
    ),
    Bad(
        *(NGINX, (1, 30), (1, 30, 4), Level.WARNING),
        "holes of 2026 were closed in 1.30.4",
        "docker compose pull nginx && docker compose up -d nginx",
    ),
    Bad(
        *(VLLM, (0,), (0, 32), Level.WARNING),
        "flags, entrypoint and answers were tried with 0.32; older ones know no --shutdown-timeout or no --runner",
        "VLLM_IMAGE=vllm/vllm-openai:v0.32.0 in .env",
    ),
)
"""Sources: what each row names; the Compose and nginx rows were seen, the vLLM row is docs/vllm-facts.md's."""

CUDA_OF_VLLM = (((0, 20), (13, 0)),)
"""The CUDA that vLLM's plain image tags are built for, from that release on (vllm-project/vllm, pull request 39878)."""
DRIVER_OF_CUDA = {(13, 0): 580}
"""The driver's branch that a CUDA release came with (NVIDIA's compatibility guide)."""
MOVING_TAGS = frozenset({"latest", "nightly", ""})


@dataclass(frozen=True, slots=True)
class Facts:
    """What is installed, by the name of the part.

    Args:
        versions: those that could be told.
        vllm_tag: of the model servers' image; None: the simulator runs.
        requires: what that image says it needs, in the words of NVIDIA_REQUIRE_CUDA; empty where it is not here.
        cuda: the newest CUDA that the driver speaks.
    """

    versions: Mapping[str, Version] = field(default_factory=dict)
    vllm_tag: str | None = None
    requires: str = ""
    cuda: Version = ()


def gather(host: Host, site: Site) -> Facts:
    """Ask each part for its version."""
    smi = host.run("nvidia-smi").out if not site.simulated else ""
    images = {one.image for one in site.stack.services.values() if one.model}
    vllm = min(images) if images and not site.simulated else None
    nginx = site.stack.services.get("nginx")
    told = {
        ENGINE: str(site.info.get("ServerVersion", "")),
        COMPOSE: host.run("docker", "compose", "version", "--short").out,
        RUNC: _runc(host),
        TOOLKIT: host.run("nvidia-ctk", "--version").out,
        DRIVER: (re.search(r"Driver Version:\s*(\S+)", smi) or ("", ""))[1],
        NGINX: _variables(host, nginx.image).get("NGINX_VERSION", "") if nginx else "",
        VLLM: (vllm or "").rpartition(":")[2].removeprefix("v"),
    }
    return Facts(
        {part: found for part, text in told.items() if (found := version(text))},
        None if vllm is None else vllm.rpartition(":")[2],
        _variables(host, vllm).get("NVIDIA_REQUIRE_CUDA", "") if vllm else "",
        version((re.search(r"CUDA Version:\s*(\S+)", smi) or ("", ""))[1]),
    )


def _runc(host: Host) -> str:
    parts: Any = decoded(host.run("docker", "version", "--format", "{{json .Server.Components}}").out)
    return next((str(one["Version"]) for one in parts or [] if one["Name"] == "runc"), "")


def _variables(host: Host, image: str) -> dict[str, str]:
    """An image's environment; empty where the image is not here."""
    found: Any = decoded(host.run("docker", "image", "inspect", "--format", "{{json .Config.Env}}", image).out)
    return dict(line.split("=", 1) for line in found or [] if "=" in line)


def version(text: str) -> Version:
    """The first version in a text; empty where there is none."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def shown(of: Version) -> str:
    """As it is written."""
    return ".".join(map(str, of))


def known_bad(facts: Facts) -> Iterable[Finding]:
    """Does a row say something of what is here?"""
    found = [
        Finding(row.level, f"{row.part} {shown(here)}, good from {shown(row.fixed)} on", row.means, row.mend)
        for row in KNOWN_BAD
        if (here := facts.versions.get(row.part)) and row.since <= here < row.fixed
    ]
    yield from found
    if facts.versions and not found:
        yield ok(", ".join(f"{part} {shown(here)}" for part, here in facts.versions.items()))


def pinned(facts: Facts) -> Iterable[Finding]:
    """Will the next pull be the same vLLM?"""
    if facts.vllm_tag is not None and facts.vllm_tag in MOVING_TAGS:
        means = "another vLLM comes with any pull: other flags, other answers, other CUDA"
        yield warning(
            f"VLLM_IMAGE has the tag {facts.vllm_tag or 'latest'}", means, "name a release: VLLM_IMAGE=...:v0.32.0"
        )


def cuda(facts: Facts) -> Iterable[Finding]:
    """Is the driver new enough for the CUDA of vLLM's image?"""
    driver = facts.versions.get(DRIVER)
    if facts.vllm_tag is None or not driver:
        return
    newer = "install a newer driver and reboot, or in .env VLLM_IMAGE with the suffix -cu129"
    if facts.requires and facts.cuda:
        if satisfied(facts.requires, facts.cuda, driver):
            yield ok(f"driver {shown(driver)} speaks CUDA {shown(facts.cuda)}, which satisfies the image")
        else:
            seen = f"driver {shown(driver)} speaks CUDA {shown(facts.cuda)}; the image wants {facts.requires}"
            yield Finding(Level.ERROR, seen, "the container does not start (`unsatisfied condition: cuda>=`)", newer)
        return
    image = facts.versions.get(VLLM, ())
    wanted = next((cuda_ for since, cuda_ in reversed(CUDA_OF_VLLM) if image >= since), None)
    if wanted is None or "-cu" in facts.vllm_tag:
        yield note(f"which driver the image {facts.vllm_tag} needs is told when it is here: docker compose pull")
    elif driver < (DRIVER_OF_CUDA[wanted],):
        means = (
            f"the image is built for CUDA {shown(wanted)}, which came with {DRIVER_OF_CUDA[wanted]}; data centre cards "
            "may run it on an older branch all the same"
        )
        yield warning(f"driver {shown(driver)} is older than vLLM's image", means, newer)
    else:
        yield ok(f"driver {shown(driver)} is new enough for CUDA {shown(wanted)}")


def satisfied(requires: str, cuda_: Version, driver: Version) -> bool:
    """Whether one of the alternatives of NVIDIA_REQUIRE_CUDA holds: blanks part them, commas their conditions.

    Conditions on other things than `cuda` and `driver`, as `brand`, are taken for true: nvidia-container-cli knows.
    """
    have = {"cuda": cuda_, "driver": driver}

    def holds(condition: str) -> bool:
        parted = re.fullmatch(r"(\w+)(>=|<=|>|<|=)([\d.]+)", condition)
        if parted is None or parted[1] not in have:
            return True
        wanted = tuple(map(int, parted[3].strip(".").split(".")))
        here = have[parted[1]][: len(wanted)]
        return {">=": here >= wanted, "<=": here <= wanted, ">": here > wanted, "<": here < wanted}.get(
            parted[2], here == wanted
        )

    return any(all(map(holds, alternative.split(","))) for alternative in requires.split())


SUBJECT = Subject("Versions", gather, (Check("known bad", known_bad), Check("pinned", pinned), Check("driver", cuda)))
