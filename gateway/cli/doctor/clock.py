"""Does anything keep the clock right? Certificates, quotas and logs go by it, and no server can be asked offline."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.cli.doctor.finding import Check, Finding, Subject, ok, warning
from gateway.cli.doctor.host import Host, KernelClock
from gateway.cli.doctor.site import Site

MAX_OFFSET_SECS = 1.0
"""More than this and two hosts' logs cannot be read side by side; quotas are renewed that much early or late."""
MEND = "sudo timedatectl set-ntp true   # or: sudo apt-get install -y chrony"


@dataclass(frozen=True, slots=True)
class Facts:
    """Who says what of the clock.

    Args:
        kernel: adjtimex(2)'s word; None where it has none.
        timedatectl: its properties, as NTPSynchronized=yes; empty without systemd.
        offset_secs: how far chrony thinks the clock is from its servers; None without chrony.
    """

    kernel: KernelClock | None = None
    timedatectl: Mapping[str, str] = field(default_factory=dict)
    offset_secs: float | None = None


def gather(host: Host, site: Site) -> Facts:
    """Ask the kernel, systemd and chrony."""
    del site
    shown = host.run("timedatectl", "show")
    properties = dict(line.split("=", 1) for line in shown.out.splitlines() if "=" in line) if shown.good else {}
    return Facts(host.clock(), properties, chrony_offset(host.run("chronyc", "-c", "tracking").out))


def chrony_offset(tracking: str) -> float | None:
    """Seconds of `chronyc -c tracking`, whose fifth column is the offset; None where it follows nobody."""
    cells = tracking.strip().split(",")
    if len(cells) < 5 or cells[0] in {"", "00000000", "7F7F0101"} or not re.fullmatch(r"-?[\d.]+", cells[4]):  # noqa: PLR2004 -- the columns before the offset
        return None
    return float(cells[4])


def synchronized(facts: Facts) -> Iterable[Finding]:
    """Is it kept right, and how far may it be off?"""
    means = "certificates seem ended or not begun, quotas are renewed at the wrong time, logs of hosts do not fit"
    kept = [
        *([facts.kernel.synchronized] if facts.kernel else []),
        *([facts.timedatectl["NTPSynchronized"] == "yes"] if "NTPSynchronized" in facts.timedatectl else []),
        *([True] if facts.offset_secs is not None else []),
    ]
    if facts.offset_secs is not None and abs(facts.offset_secs) > MAX_OFFSET_SECS:
        yield warning(f"chrony sees the clock {abs(facts.offset_secs):.1f} s off", means, "sudo chronyc makestep")
    elif not any(kept):
        yield warning("nothing keeps the clock right", means, MEND)
    else:
        error = f", at most {facts.kernel.error_secs:.3f} s off" if facts.kernel and facts.kernel.synchronized else ""
        yield ok(f"the clock is kept right{error}")


SUBJECT = Subject("Clock", gather, (Check("synchronized", synchronized),))
