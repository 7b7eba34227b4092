"""Can nginx have its ports? Who listens on this host, and whether the address that it is published on is ours."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from gateway.cli.doctor.finding import Check, Finding, Subject, error, ok
from gateway.cli.doctor.host import Host
from gateway.cli.doctor.site import Site
from gateway.cli.doctor.stack import Port

LISTENING = "0A"
"""TCP_LISTEN, as /proc/net/tcp writes a socket's state."""
SETTINGS: Mapping[int, str] = {80: "HTTP_PORT", 443: "HTTPS_PORT"}
"""What `.env` calls the port of the host for one of nginx'."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Who has which port.

    Args:
        wanted: with the service that is to have each.
        listeners: addresses and ports on which somebody listens.
        ours: ports that this stack's own containers have already.
        strange: addresses of `wanted` that this host does not have.
        publishers: containers of others, by the port that they have.
    """

    wanted: tuple[tuple[str, Port], ...]
    listeners: frozenset[tuple[str, int]] = frozenset()
    ours: frozenset[int] = frozenset()
    strange: frozenset[str] = frozenset()
    publishers: Mapping[int, str] = field(default_factory=dict)


def gather(host: Host, site: Site) -> Facts:
    """Read who listens, from the kernel's tables: that needs no rights, and takes no port."""
    wanted = tuple(site.stack.ports())
    tables = (host.text("/proc/net/tcp") or "", host.text("/proc/net/tcp6") or "")
    addresses = {port.address for _, port in wanted if port.address}
    listing = host.run("docker", "ps", "--format", "{{.Names}} {{.Ports}}").out if site.answers else ""
    own = {str(one["Name"]).removeprefix("/") for one in site.containers}
    return Facts(
        wanted,
        frozenset(listener for table in tables for listener in listeners(table)),
        frozenset(port for one in site.running for port in published(one)),
        frozenset(address for address in addresses if not host.has_address(address)),
        {port: name for name, port in publishers(listing) if name not in own},
    )


def published(container: Mapping[str, object]) -> Iterator[int]:
    """The ports of the host that a container has, as `docker inspect` shows them."""
    settings = container.get("NetworkSettings")
    ports = settings.get("Ports") if isinstance(settings, dict) else None
    for bindings in (ports or {}).values():
        for binding in bindings or []:
            yield int(binding["HostPort"])


def publishers(listing: str) -> Iterator[tuple[str, int]]:
    """Names and ports of `docker ps`, whose lines are as `name 0.0.0.0:80->80/tcp, :::80->80/tcp`."""
    for line in listing.splitlines():
        name, _, ports = line.partition(" ")
        for part in ports.split(","):
            host, arrow, _ = part.partition("->")
            number = host.rpartition(":")[2]
            if arrow and number.isdigit():
                yield name, int(number)


def listeners(table: str) -> Iterator[tuple[str, int]]:
    """Addresses and ports that are listened on, of /proc/net/tcp or tcp6: hexadecimal, in words of the host's order."""
    for line in table.splitlines()[1:]:
        cells = line.split()
        if len(cells) > 3 and cells[3] == LISTENING:  # noqa: PLR2004 -- the column of the state
            address, _, port = cells[1].partition(":")
            yield str(_address(address)), int(port, 16)


def _address(digits: str) -> IPv4Address | IPv6Address:
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    found = ip_address(b"".join(words))
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def clash(wanted: str, held: str) -> bool:
    """Whether a socket on one address keeps another address from being had; empty is each of the host's."""
    if not wanted:
        return True
    try:
        one, other = ip_address(wanted), ip_address(held)
    except ValueError:  # `localhost` and the like, which Compose refuses itself
        return False
    if one.version != other.version:
        return isinstance(other, IPv6Address) and other.is_unspecified  # as a rule it takes IPv4 clients too
    return one == other or one.is_unspecified or other.is_unspecified


def free(facts: Facts) -> Iterable[Finding]:
    """Is each port free, or ours already?"""
    for name, port in facts.wanted:
        holders = [held for held, number in facts.listeners if number == port.published and clash(port.address, held)]
        if port.published in facts.ours:
            yield ok(f"{port.published}: {name} has it")
        elif not holders:
            yield ok(f"{port.published}: free for {name}")
        else:
            setting = SETTINGS.get(port.target, "another port")
            who = facts.publishers.get(port.published)
            stop = f"docker stop {who}" if who else f"sudo ss -ltnp 'sport = :{port.published}' shows who it is"
            yield error(
                f"{port.published} is taken: {f'the container {who}' if who else 'somebody'} listens on "
                f"{', '.join(sorted(holders))}",
                f"Docker cannot start {name} (`address already in use`)",
                f"{stop}; or {setting}= another one in .env",
            )


def address(facts: Facts) -> Iterable[Finding]:
    """Is the address to publish on this host's own?"""
    for strange in sorted(facts.strange):
        yield error(
            f"PUBLISH_ADDRESS is {strange}, which this host does not have",
            "Docker cannot publish there (`cannot assign requested address`); in most clouds a public address is "
            "translated before the host, which knows its private one alone",
            "PUBLISH_ADDRESS=0.0.0.0 in .env, or one that `ip -brief address` shows",
        )


SUBJECT = Subject("Ports", gather, (Check("ports", free), Check("address", address)))
