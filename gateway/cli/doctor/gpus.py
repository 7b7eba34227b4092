"""Are the cards there that the model servers were promised, with enough memory for what shares each of them?"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.cli.capacity.arithmetic import Assumptions
from gateway.cli.capacity.hardware import GIB
from gateway.cli.capacity.models import KV_BYTES, MODELS, WEIGHTS, Model
from gateway.cli.doctor.finding import Check, Finding, Subject, error, note, ok, warning
from gateway.cli.doctor.host import Answer, Host
from gateway.cli.doctor.site import Site, service_of
from gateway.cli.doctor.stack import Service

FIELDS = ("index", "uuid", "name", "memory.total", "memory.used", "compute_cap", "driver_version")
"""What `nvidia-smi --help-query-gpu` calls what is asked of each card; memory comes in MiB."""
MIB_IN_GIB = 1024
DEFAULT_SHARE = 0.92
"""vLLM's own `--gpu-memory-utilization` where none is stated (0.32)."""
MAX_SHARES = 0.90
"""Of a card that several servers share: each share must be free when its server starts, and the driver holds some."""
HOPELESS_SHARES = 0.97
"""The driver itself holds some 3 % of an idle L4: this much is never free."""
BF16_CAPABILITY, FP8_CAPABILITY = 8.0, 8.9
"""Compute capabilities from which a card has bf16, and fp8 for activations too; an L4 has 8.9."""
SEVERAL = 2
UNITS: Mapping[str, int] = {"": 1, "k": 10**3, "K": 2**10, "m": 10**6, "M": 2**20}
"""What a letter behind a number of tokens stands for on vLLM's command line."""
NO_TOOLKIT = 'docker: could not select device driver "nvidia" with capabilities: [[gpu]]'
TOOLKIT_GUIDE = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
REGISTER = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
DRIVERS: Mapping[str, str] = {
    "ubuntu": "sudo ubuntu-drivers install --gpgpu && sudo reboot",
    "debian": "sudo apt-get install -y nvidia-driver && sudo reboot   # from the component non-free",
}
"""How a distribution installs the driver, by its ID in /etc/os-release."""
ANY_DRIVER = "install NVIDIA's data centre driver, then reboot: https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
DRIVER_AMISS = "nvidia-smi   # says more; after an upgrade of the driver: sudo reboot"


DECODERS: Mapping[str, Model] = {model.name: model for model in MODELS.values()}
"""Those that `gateway capacity` reckons with."""
ENCODERS_GIB: Mapping[str, float] = {"Snowflake/snowflake-arctic-embed-l-v2.0": 1.1, "BAAI/bge-reranker-v2-m3": 1.1}
"""568 million parameters in 16 bits; encoders keep no cache."""
OVERHEAD_GIB = Assumptions().overhead / GIB
"""What a vLLM server needs beside weights and cache: CUDA's context, graphs, activations."""


class Card(NamedTuple):
    """A GPU, as nvidia-smi shows it."""

    number: str
    uuid: str
    name: str
    total_mib: float
    used_mib: float
    capability: float
    driver: str

    @property
    def gib(self) -> float:
        """All its memory."""
        return self.total_mib / MIB_IN_GIB


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the cards.

    Args:
        smi: what nvidia-smi answered.
        servers: the services that are handed a card.
        in_use: whether servers of this stack run, which hold their shares already.
        release: the distribution's ID.
        info: what `docker info` says.
        toolkit: what nvidia-ctk answered.
    """

    smi: Answer
    cards: tuple[Card, ...] = ()
    servers: tuple[Service, ...] = ()
    in_use: bool = False
    release: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    toolkit: Answer = Answer(None)  # noqa: RUF009 -- an immutable one

    def card(self, device: str) -> Card | None:
        """The card that Compose calls this, by number or UUID."""
        return next((card for card in self.cards if device in {card.number, card.uuid}), None)

    def sharing(self) -> dict[Card, list[Service]]:
        """The servers of each card that is there."""
        shared: dict[Card, list[Service]] = defaultdict(list)
        for server in self.servers:
            for card in filter(None, map(self.card, server.gpus)):
                shared[card].append(server)
        return shared


def gather(host: Host, site: Site) -> Facts:
    """Ask nvidia-smi, and whoever hands cards to containers."""
    smi = host.run("nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits")
    servers = tuple(one for one in site.stack.services.values() if one.gpus)
    named = {one.name for one in servers}
    return Facts(
        smi,
        tuple(cards(smi.out)) if smi.good else (),
        servers,
        any(service_of(one) in named for one in site.running),
        release(host.text("/etc/os-release") or ""),
        site.info,
        host.run("nvidia-ctk", "--version"),
    )


def cards(listing: str) -> Iterator[Card]:
    """The cards of nvidia-smi's CSV; what a card does not have is `[N/A]`, and counts as 0."""
    for line in listing.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == len(FIELDS):
            number, uuid, name, total, used, capability, driver = cells
            yield Card(number, uuid, name, _number(total), _number(used), _number(capability), driver)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return 0.0


def release(text: str) -> str:
    """A distribution's ID."""
    found = re.search(r'^ID="?([\w-]+)', text, re.MULTILINE)
    return found[1] if found else ""


def share(server: Service) -> float:
    """What a server takes of its card, from 0 to 1."""
    try:
        return float(server.flag("--gpu-memory-utilization") or DEFAULT_SHARE)
    except ValueError:
        return DEFAULT_SHARE


def driver(facts: Facts) -> Iterable[Finding]:
    """Is there a driver, and does it speak to its cards?"""
    if facts.smi.good and facts.cards:
        yield ok(f"NVIDIA's driver {facts.cards[0].driver}, {len(facts.cards)} cards")
    elif facts.smi.status is None:
        means = (
            "no model server can start; without GPUs there is the simulator: gateway doctor --sim, make deploy SIM=1"
        )
        yield error(f"no answer of nvidia-smi: {facts.smi.words}", means, DRIVERS.get(facts.release, ANY_DRIVER))
    else:
        yield error(f"nvidia-smi fails: {facts.smi.words}", "no model server can start", DRIVER_AMISS)


def toolkit(facts: Facts) -> Iterable[Finding]:
    """Can Docker hand a card to a container?"""
    if "nvidia" in (facts.info.get("Runtimes") or {}):
        yield ok("Docker knows the runtime `nvidia`")
    elif facts.toolkit.good:
        seen = "NVIDIA's container toolkit is installed, and Docker does not know its runtime"
        yield warning(seen, f"containers may get no card ({NO_TOOLKIT})", REGISTER)
    else:
        install = f"sudo apt-get install -y nvidia-container-toolkit && {REGISTER}   # its repository: {TOOLKIT_GUIDE}"
        yield error("NVIDIA's container toolkit is not installed", NO_TOOLKIT, install)


def present(facts: Facts) -> Iterable[Finding]:
    """Is every card there that the Compose files hand out?"""
    if not facts.cards:
        return
    missing = {device: server.name for server in facts.servers for device in server.gpus if not facts.card(device)}
    there = ", ".join(f"{card.number}: {card.name}" for card in facts.cards)
    if not missing:
        yield ok(there)
        return
    names = ", ".join(f"{device} (for {name})" for device, name in missing.items())
    yield error(
        f"no card {names}; there are {there}",
        "Docker refuses to start these servers",
        "nvidia-smi -L shows those there are; other `device_ids` stand in a docker-compose.override.yml",
    )


def tokens(length: str) -> int:
    """A number of tokens as vLLM takes it: `8192`, `8k` is 8,000, `8K` is 8,192; 0 for `auto`, which is what fits."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", length)
    return int(float(found[1]) * UNITS[found[2]]) if found else 0


def needed_gib(server: Service) -> float | None:
    """What a server needs of its card to serve one context; None for a model, or a format, that is not known here."""
    if (encoder := ENCODERS_GIB.get(server.model or "")) is not None:
        return encoder + OVERHEAD_GIB
    model = DECODERS.get(server.model or "")
    weights = WEIGHTS.get(server.flag("--quantization") or "bf16")
    kept = KV_BYTES.get(server.flag("--kv-cache-dtype") or "auto")
    if model is None or weights is None or kept is None:
        return None
    length = server.flag("--max-model-len")
    context = model.context if length is None else tokens(length)
    return (model.weight_bytes(weights) + context * model.cache_bytes(kept)) / GIB + OVERHEAD_GIB


def memory(facts: Facts) -> Iterable[Finding]:
    """Is each server's share large enough for its weights and one full context?"""
    for card, servers in facts.sharing().items():
        for server in servers:
            needed, has = needed_gib(server), share(server) * card.gib
            if needed is None:
                yield note(f"how much {server.name} needs is not known here: {server.model}")
            elif has < needed:
                yield error(
                    f"{server.name} gets {has:.1f} GiB of card {card.number} ({share(server):g} of {card.gib:.1f}) and "
                    f"needs {needed:.1f} for its weights and one context",
                    "vLLM ends at its start: no memory is left for cache blocks, or the weights do not fit",
                    "--quantization fp8, a larger --gpu-memory-utilization, a smaller --max-model-len, a larger card",
                )
            else:
                yield ok(f"{server.name}: {has:.1f} GiB of card {card.number}, and it needs {needed:.1f}")


def shares(facts: Facts) -> Iterable[Finding]:
    """Do the shares of each card come to less than the card?"""
    for card, servers in facts.sharing().items():
        total = sum(map(share, servers))
        names = " + ".join(f"{server.name} {share(server):g}" for server in servers)
        limit = MAX_SHARES if len(servers) >= SEVERAL else HOPELESS_SHARES
        if total <= limit + 1e-9:
            yield ok(f"card {card.number}: {names} = {total:g}")
            continue
        yield (error if total > HOPELESS_SHARES else warning)(
            f"card {card.number}: {names} = {total:g}",
            "--gpu-memory-utilization is a share of the whole card, which must be free when a server starts: the last "
            "one ends with `Free memory on device ... is less than desired GPU memory utilization`",
            f"let them come to {limit:g} at the most, as EMBED_VLLM_ARGS=--gpu-memory-utilization 0.40 in .env",
        )


def free(facts: Facts) -> Iterable[Finding]:
    """Does anybody else hold memory that the servers will ask for?"""
    if facts.in_use:
        return
    for card, servers in facts.sharing().items():
        wanted = sum(map(share, servers)) * card.total_mib
        if card.total_mib - card.used_mib < wanted:
            yield error(
                f"{card.used_mib:.0f} MiB of card {card.number} are in use, of {card.total_mib:.0f}, and its servers "
                f"want {wanted:.0f}",
                "a vLLM server does not start on a card that has less free memory than its share",
                "end what holds it: nvidia-smi --query-compute-apps=pid,used_memory,process_name --format=csv",
            )


def generation(facts: Facts) -> Iterable[Finding]:
    """Can the cards compute in the formats that the servers use?"""
    for card, servers in facts.sharing().items():
        if not card.capability:
            continue
        named = ", ".join(server.name for server in servers)
        if card.capability < BF16_CAPABILITY:
            yield error(
                f"card {card.number} ({card.name}) has compute capability {card.capability:g}",
                f"bf16 needs {BF16_CAPABILITY:g}: vLLM refuses to load the models of {named}",
                "a card of NVIDIA's Ampere generation or newer, or --dtype half among its arguments in .env",
            )
        elif card.capability < FP8_CAPABILITY and any(one.flag("--quantization") == "fp8" for one in servers):
            means = "fp8 weights save memory there, but are computed in 16 bits: prompts are read more slowly"
            yield note(f"card {card.number} ({card.name}) has compute capability {card.capability:g}", means)


SUBJECT = Subject(
    "GPUs",
    gather,
    (
        Check("driver", driver),
        Check("toolkit", toolkit),
        Check("cards", present),
        Check("memory", memory),
        Check("shares", shares),
        Check("free", free),
        Check("generation", generation),
    ),
    needs_gpus=True,
)
