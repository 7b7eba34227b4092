"""`gateway doctor`: can this host carry the stack, does what runs fit what stands here, and what mends each fault?"""

import sys
from pathlib import Path

import click

from gateway.cli.tables import echo_json, json_option


@click.command(short_help="Examine the host and the running stack.")
@click.option("--sim", "simulated", is_flag=True, help="For the stack without GPUs (compose.sim.yml).")
@json_option
def doctor(*, simulated: bool, as_json: bool) -> None:
    """Examine the host before the stack is started, and the stack that runs, in the folder with the Compose files.

    GPUs, Docker, versions known to be bad, disk, ports, the certificate, .env, time-outs, the kernel's limits, the
    clock, what runs with other settings than .env states, and under which addresses clients arrive. Each finding says
    what it means and what mends it. Nothing is changed. Exits with 1 when there is an error.

    `gateway check` explains the gateway's settings: what they amount to, and which of them are probably not meant.
    """
    from gateway.cli.doctor import shown  # noqa: PLC0415 -- `--help` waits for no library
    from gateway.cli.doctor.host import ThisHost  # noqa: PLC0415 -- likewise
    from gateway.cli.doctor.site import survey  # noqa: PLC0415 -- likewise
    from gateway.cli.doctor.table import examine  # noqa: PLC0415 -- likewise

    host = ThisHost()
    found = list(examine(host, survey(host, Path(), simulated=simulated)))
    report = shown.as_json(found, simulated=simulated)
    if as_json:
        echo_json(report)
    else:
        click.echo("\n".join(shown.as_lines(found)))
    sys.exit(0 if report["ok"] else 1)
