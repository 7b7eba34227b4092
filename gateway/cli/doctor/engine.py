"""Can Docker start the stack? The engine, Compose, the files as it reads them, and what is taken of their names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from gateway.cli.doctor.finding import Check, Finding, Subject, error, ok, warning
from gateway.cli.doctor.host import Answer, Host
from gateway.cli.doctor.site import Site, decoded

INSTALL = "install Docker's own packages, which have Compose: https://docs.docker.com/engine/install/"
NOT_FOR_US = "sudo usermod -aG docker $USER   # then sign in anew"
PROJECT = "com.docker.compose.project"
NOTHING_STARTS = "nothing of the stack can start"
HEX = 16


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of Docker.

    Args:
        site: with the engine's own word, and what Compose made of the files.
        compose: what `docker compose version` answered.
        enabled: what `systemctl is-enabled docker` said; empty where there is no systemd.
        names: each container's name on this host, and the project that it is of.
        subnets: of each Docker network on this host, by its name.
        routes: the networks that this host reaches directly, each with its interface.
    """

    site: Site
    compose: Answer
    enabled: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    subnets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    routes: tuple[tuple[str, str], ...] = ()


def gather(host: Host, site: Site) -> Facts:
    """Ask Docker what it has."""
    compose = host.run("docker", "compose", "version", "--short")
    enabled = host.run("systemctl", "is-enabled", "docker").out.strip()
    if not site.answers:
        return Facts(site, compose, enabled)
    listing = host.run("docker", "ps", "--all", "--format", f'{{{{.Names}}}} {{{{.Label "{PROJECT}"}}}}').out
    names = {name: project for name, _, project in (line.partition(" ") for line in listing.splitlines())}
    ids = host.run("docker", "network", "ls", "--quiet").out.split()
    networks = decoded(host.run("docker", "network", "inspect", *ids).out) if ids else []
    return Facts(
        site, compose, enabled, names, dict(map(_subnets, networks or [])), routes(host.text("/proc/net/route") or "")
    )


def _subnets(network: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    configured = (network.get("IPAM") or {}).get("Config") or []
    return str(network["Name"]), tuple(str(one["Subnet"]) for one in configured if one.get("Subnet"))


def routes(table: str) -> tuple[tuple[str, str], ...]:
    """The networks of /proc/net/route with their interfaces: little-endian hexadecimal, the default route left out."""
    found = []
    for line in table.splitlines()[1:]:
        cells = line.split()
        if len(cells) > 7 and cells[7] != "00000000":  # noqa: PLR2004 -- the column of the mask
            address, mask = (".".join(str(byte) for byte in bytes.fromhex(cells[at])[::-1]) for at in (1, 7))
            found.append((str(ip_network(f"{address}/{mask}", strict=False)), cells[0]))
    return tuple(found)


def answers(facts: Facts) -> Iterable[Finding]:
    """Is there an engine, and may we speak with it?"""
    site = facts.site
    if site.answers:
        yield ok(f"Docker {site.info['ServerVersion']} on {site.info.get('OperatingSystem', 'this host')}")
        return
    words = str((site.info.get("ServerErrors") or [site.engine.words])[-1])
    if site.engine.status is None:
        yield error(f"no answer of Docker: {words}", NOTHING_STARTS, INSTALL)
    elif "permission denied" in words.lower():
        yield error("you may not speak with the Docker engine", NOTHING_STARTS, NOT_FOR_US)
    else:
        yield error(f"no Docker engine answers: {words}", NOTHING_STARTS, "sudo systemctl enable --now docker")


def plugin(facts: Facts) -> Iterable[Finding]:
    """Is Compose v2 there?"""
    if facts.compose.good:
        yield ok(f"Compose {facts.compose.out.strip()}")
        return
    mend = "sudo apt-get install -y docker-compose-plugin   # of Docker's own packages; docker-compose v1 does not do"
    yield error("Docker has no Compose v2", NOTHING_STARTS, mend)


def files(facts: Facts) -> Iterable[Finding]:
    """Does Compose understand the files, with what `.env` says?"""
    if not facts.compose.good:
        return
    if facts.site.config.good:
        count = len(facts.site.stack.services)
        yield ok(f"the Compose files are whole: {count} services of the project {facts.site.stack.project}")
    else:
        mend = f"{facts.site.typed('config', '--quiet')}   # says so until it is mended; `gateway init` writes a .env"
        yield error(f"Compose refuses the files: {discreet(facts.site.config.words)}", NOTHING_STARTS, mend)


def discreet(words: str) -> str:
    """Compose's words without what stands on the line of `.env` that it cannot read, as it may be a key."""
    return re.sub(r'(: line \d+: [^"]*)".*', r'\1"..."', words)


def names(facts: Facts) -> Iterable[Finding]:
    """Is a container's name taken by another project?"""
    project = facts.site.stack.project
    if not project:
        return
    wanted = {one.container for one in facts.site.stack.services.values() if one.container}
    for name in sorted(wanted & facts.names.keys()):
        if facts.names[name] != project:
            owner = facts.names[name] or "no Compose project"
            mend = f"docker rm -f {name}   # when nobody needs it any more"
            yield error(f"a container of {owner} is called {name}", "Docker gives a name once: ours cannot start", mend)


def subnets(facts: Facts) -> Iterable[Finding]:
    """Is the address range of our networks free on this host?"""
    ours = {network.name: network.subnet for network in facts.site.stack.networks.values() if network.subnet}
    others = [(f"the Docker network {name}", subnet) for name, all_ in facts.subnets.items() for subnet in all_]
    others = [(who, subnet) for who, subnet in others if who.removeprefix("the Docker network ") not in ours]
    of_docker = {subnet for all_ in facts.subnets.values() for subnet in all_}
    others += [(f"the interface {name}", subnet) for subnet, name in facts.routes if subnet not in of_docker]
    for name, subnet in ours.items():
        taken = [f"{who} ({other})" for who, other in others if overlap(subnet, other)]
        if taken:
            yield error(
                f"{name} wants {subnet}, which {' and '.join(taken)} has",
                "Docker refuses the network (`Pool overlaps`), or answers to clients of the other one go astray",
                "EDGE_SUBNET=10.198.0.0/24 in .env, or another free range",
            )
        else:
            yield ok(f"{name}: {subnet} is free, or ours already")


def overlap(left: str, right: str) -> bool:
    """Whether two networks have an address in common."""
    try:
        one, other = ip_network(left, strict=False), ip_network(right, strict=False)
    except ValueError:
        return False
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


def boot(facts: Facts) -> Iterable[Finding]:
    """Does the engine come back after a reboot?"""
    if facts.enabled == "disabled":
        means = "after a reboot nothing serves until somebody starts Docker"
        yield warning("Docker is not started at boot", means, "sudo systemctl enable docker")


SUBJECT = Subject(
    "Docker",
    gather,
    (
        Check("engine", answers),
        Check("compose", plugin),
        Check("files", files),
        Check("names", names),
        Check("subnets", subnets),
        Check("boot", boot),
    ),
)
