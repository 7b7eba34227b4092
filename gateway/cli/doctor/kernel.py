"""Do the kernel's limits leave room for thousands of connections? Forwarding, tracking, open files, memory."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.cli.doctor.finding import Check, Finding, Subject, error, note, ok, warning
from gateway.cli.doctor.host import Host
from gateway.cli.doctor.site import Site, service_of

MIN_FILES = 16_384
"""Descriptors of one worker: UPSTREAM_MAX_CONNECTIONS to the backends, and a client's connection for each."""
MIN_CONNTRACK = 65_536
"""Connections that the kernel follows: each published one is, for a while after its end too."""
FULL = 0.8
OLDEST = (4, 15)
"""From here on a container has TCP buffers of its own, which docker-compose.yml sets (net.ipv4.tcp_wmem)."""
STRICT = 2
CONNTRACK = "/proc/sys/net/netfilter/nf_conntrack_"


@dataclass(frozen=True, slots=True)
class Facts:
    """Figures of the kernel; None for what it does not tell.

    Args:
        files: descriptors that a running gateway may open, and may allow itself; or the engine's, which it hands on.
        whose: of whom those are.
    """

    release: str = ""
    engine: bool = True
    forwards: int | None = None
    tracked: int | None = None
    trackable: int | None = None
    overcommit: int | None = None
    files: tuple[int, int] | None = None
    whose: str = ""


def gather(host: Host, site: Site) -> Facts:
    """Read /proc."""
    gateway = [one["State"]["Pid"] for one in site.running if service_of(one) == "gateway"]
    pid, whose = (gateway[0], "the running gateway") if gateway else (_engine(host), "the Docker engine")
    return Facts(
        (host.text("/proc/sys/kernel/osrelease") or "").strip(),
        site.answers,
        _figure(host, "/proc/sys/net/ipv4/ip_forward"),
        _figure(host, f"{CONNTRACK}count"),
        _figure(host, f"{CONNTRACK}max"),
        _figure(host, "/proc/sys/vm/overcommit_memory"),
        open_files(host.text(f"/proc/{pid}/limits") or "") if pid else None,
        whose,
    )


def _engine(host: Host) -> int | None:
    return _figure(host, "/var/run/docker.pid")


def _figure(host: Host, path: str) -> int | None:
    text = (host.text(path) or "").strip()
    return int(text) if text.isdigit() else None


def open_files(limits: str) -> tuple[int, int] | None:
    """The soft and the hard limit of open files in /proc/<pid>/limits."""
    found = re.search(r"^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)", limits, re.MULTILINE)
    if found is None:
        return None
    soft, hard = (int(one) if one.isdigit() else 1 << 30 for one in found.groups())
    return soft, hard


def age(facts: Facts) -> Iterable[Finding]:
    """Is the kernel new enough?"""
    found = re.match(r"(\d+)\.(\d+)", facts.release)
    if found and (int(found[1]), int(found[2])) < OLDEST:
        means = "the gateway's container does not start: it sets TCP buffers of its own"
        yield error(f"Linux {facts.release}", means, "a distribution of this decade")
    elif found:
        yield ok(f"Linux {facts.release}")


def forwarding(facts: Facts) -> Iterable[Finding]:
    """Does the host pass packets on to containers?"""
    if facts.engine and facts.forwards == 0:
        yield error(
            "the host forwards no packets (net.ipv4.ip_forward = 0)",
            "clients reach no published port: somebody has switched off what Docker switches on",
            "sudo sysctl -w net.ipv4.ip_forward=1   # and take the line out of /etc/sysctl.d",
        )


def tracking(facts: Facts) -> Iterable[Finding]:
    """Is there room in the table of connections?"""
    if facts.trackable is None:
        return
    raise_it = f"sudo sysctl -w net.netfilter.nf_conntrack_max={4 * MIN_CONNTRACK}   # and into /etc/sysctl.d"
    means = "when the table is full new connections are dropped without a word: clients see time-outs"
    if facts.tracked is not None and facts.tracked > FULL * facts.trackable:
        yield warning(f"{facts.tracked} of {facts.trackable} tracked connections are in use", means, raise_it)
    elif facts.trackable < MIN_CONNTRACK:
        yield warning(f"{facts.trackable} connections can be tracked", means, raise_it)
    else:
        yield ok(f"{facts.trackable} connections can be tracked")


def descriptors(facts: Facts) -> Iterable[Finding]:
    """How many files may a container open? The hard limit counts: gateway and nginx raise the soft one themselves."""
    if facts.files is None:
        return
    _, hard = facts.files
    if hard < MIN_FILES:
        yield warning(
            f"{facts.whose} may open {hard} files at the most",
            "a connection is a file: a worker without any left answers 503, or lets clients wait",
            "sudo systemctl edit docker containerd   # [Service] LimitNOFILE=1024:524288, then restart both",
        )
    else:
        yield ok(f"{facts.whose} may open {hard} files")


def promises(facts: Facts) -> Iterable[Finding]:
    """Does the kernel promise only the memory that it has?"""
    if facts.overcommit == STRICT:
        yield warning(
            "the kernel promises no more memory than it has (vm.overcommit_memory = 2)",
            "vLLM reserves far more than it uses: servers end at their start, and workers cannot be started",
            "sudo sysctl -w vm.overcommit_memory=0   # and take the line out of /etc/sysctl.d",
        )


def container(facts: Facts) -> Iterable[Finding]:
    """Was there a kernel to read?"""
    if not facts.release:
        yield note("there is no /proc to read: this is no Linux", "the stack runs on Linux alone")


SUBJECT = Subject(
    "Kernel",
    gather,
    (
        Check("release", age),
        Check("forwarding", forwarding),
        Check("connections", tracking),
        Check("files", descriptors),
        Check("memory", promises),
        Check("system", container),
    ),
)
