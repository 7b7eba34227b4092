"""Under which address does a client arrive? It is its organization: where Docker hides it, all share one limit."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from gateway.cli.doctor.finding import Check, Finding, Subject, note, ok, warning
from gateway.cli.doctor.host import Host
from gateway.cli.doctor.site import Site, decoded, service_of

LINES = 2000
"""Of the gateway's log that are looked at."""
TELLING = 20
"""Requests from which one address alone says something."""
HIDDEN = "all of them are one organization, with one rate, one set of slots and one quota"
EVERY_IPV4, EVERY = "0.0.0.0", ("", "::")  # noqa: S104 -- what Docker calls it
IPV4_ALONE = (
    "PUBLISH_ADDRESS=0.0.0.0 in .env: clients then come by IPv4. (An `edge` network with enable_ipv6: true keeps their "
    "addresses; it was not tried with this stack.)"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """How clients come in.

    Args:
        rootless: whether the engine runs without root.
        bindings: addresses of the host on which nginx is published, or would be.
        ipv6: whether nginx' network speaks IPv6.
        subnet: of that network.
        reachable: whether this host has a global IPv6 address.
        seen: requests in the gateway's log by the client's address; health checks of containers are not there.
    """

    rootless: bool = False
    bindings: frozenset[str] = frozenset()
    ipv6: bool = False
    subnet: str = ""
    reachable: bool = False
    seen: Mapping[str, int] = field(default_factory=dict)


def gather(host: Host, site: Site) -> Facts:
    """Read how nginx is published, and who is in the gateway's log."""
    options = " ".join(map(str, site.info.get("SecurityOptions") or []))
    edge = site.stack.networks.get("edge")
    published = site.stack.services.get("nginx")
    bindings = {port.address for port in published.ports} if published else set()
    for one in site.running:
        if service_of(one) == "nginx":
            ports = one["NetworkSettings"]["Ports"] or {}
            bindings = {binding["HostIp"] for bound in ports.values() for binding in bound or []}
    gateways = [str(one["Id"]) for one in site.running if service_of(one) == "gateway"]
    logs = [host.run("docker", "logs", "--tail", str(LINES), name) for name in gateways]
    return Facts(
        "rootless" in options,
        frozenset(bindings),
        edge.ipv6 if edge else False,
        edge.subnet if edge else "",
        global_ipv6(host.text("/proc/net/if_inet6") or ""),
        Counter(client for log in logs for client in clients(log.out + log.err)),
    )


def global_ipv6(table: str) -> bool:
    """Whether /proc/net/if_inet6 has an address of global scope, unique local ones (fc00::/7) left out."""
    return any(
        len(cells) > 3 and cells[3] == "00" and not cells[0].lower().startswith(("fc", "fd"))  # noqa: PLR2004 -- the column of the scope
        for cells in map(str.split, table.splitlines())
    )


def clients(log: str) -> Iterable[str]:
    """The address of each request's line."""
    for line in log.splitlines():
        if '"event":"request"' in line and isinstance(found := decoded(line), dict) and found.get("client"):
            yield str(found["client"])


def rootless(facts: Facts) -> Iterable[Finding]:
    """Does a user's own engine stand between?"""
    if facts.rootless:
        yield warning(
            "the Docker engine runs without root",
            f"its port driver hands every client in under an address of its own: {HIDDEN}",
            "an engine with root, or the port driver slirp4netns (which keeps addresses) of rootless Docker",
        )


def ipv6(facts: Facts) -> Iterable[Finding]:
    """Do IPv6 clients come in, and as whom?"""
    six = {one for one in facts.bindings if one in EVERY or ":" in one}
    if six and not facts.ipv6:
        yield warning(
            f"nginx is published on IPv6 too ({', '.join(one or 'every address' for one in sorted(six))}), and its "
            "network is of IPv4",
            f"Docker's userland proxy hands IPv6 clients in under the bridge's address: {HIDDEN}",
            IPV4_ALONE,
        )
    elif six:
        yield ok("IPv6 clients come in, and nginx' network speaks IPv6")
    elif facts.reachable:
        yield note(
            "this host has a global IPv6 address, and nginx is published on IPv4 alone", "IPv6 clients are refused"
        )


def arriving(facts: Facts) -> Iterable[Finding]:
    """Under which addresses have clients arrived?"""
    total = sum(facts.seen.values())
    if not total:
        return
    outside = {client: count for client, count in facts.seen.items() if not _within(client, facts.subnet)}
    if not outside:
        yield (warning if total >= TELLING else note)(
            f"each of the last {total} requests came under an address of Docker's own ({', '.join(facts.seen)})",
            f"that is so for requests from this host itself; if there were others, Docker hides clients, and {HIDDEN}",
            "ask from another machine, then look: docker compose logs --tail 5 gateway",
        )
    elif len(outside) == 1 and total >= TELLING:
        (client,) = outside
        yield note(
            f"all but {total - outside[client]} of the last {total} requests came from {client}",
            f"right for one client; if it is a load balancer or a tunnel, {HIDDEN}",
            "let it pass their address on (TRUSTED_PROXIES), or give clients keys of their own (docs/remote-use.md)",
        )
    else:
        yield ok(f"the last {total} requests came from {len(facts.seen)} addresses")


def _within(client: str, subnet: str) -> bool:
    try:
        return ip_address(client) in ip_network(subnet)
    except ValueError:
        return False


SUBJECT = Subject("Clients", gather, (Check("engine", rootless), Check("ipv6", ipv6), Check("addresses", arriving)))
