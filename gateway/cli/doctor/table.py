"""SUBJECTS: what is looked at, in the order in which it is shown. A check is a row of its subject."""

from collections.abc import Iterator
from typing import Any

from gateway.cli.doctor import (
    certificate,
    clients,
    clock,
    disk,
    engine,
    environment,
    gpus,
    kernel,
    ports,
    running,
    time_outs,
    versions,
)
from gateway.cli.doctor.finding import Found, Subject
from gateway.cli.doctor.host import Host
from gateway.cli.doctor.site import Site

SUBJECTS: tuple[Subject[Any], ...] = (
    gpus.SUBJECT,
    engine.SUBJECT,
    versions.SUBJECT,
    disk.SUBJECT,
    ports.SUBJECT,
    certificate.SUBJECT,
    environment.SUBJECT,
    time_outs.SUBJECT,
    kernel.SUBJECT,
    clock.SUBJECT,
    running.SUBJECT,
    clients.SUBJECT,
)


def examine(host: Host, site: Site) -> Iterator[Found]:
    """All findings of all subjects."""
    for subject in SUBJECTS:
        if not (subject.needs_gpus and site.simulated):
            yield from subject.look(host, site)
