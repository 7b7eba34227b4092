"""Does what runs fit what stands here? Containers' health, and settings, images and a certificate changed since."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.cli.doctor.finding import Check, Finding, Subject, note, ok, warning
from gateway.cli.doctor.host import Host
from gateway.cli.doctor.site import Site, service_of
from gateway.settings import names

GATEWAY, NGINX = "gateway", "nginx"
HTTPS = "443/tcp"
RESTART = "`docker compose restart` starts the same container again, with what it was made with: .env is not read anew"
SEVERAL = 2


@dataclass(frozen=True, slots=True)
class Facts:
    """What runs, and what would.

    Args:
        site: with the containers, and what Compose would start now.
        images: the id of each image by its name, as it is here now.
        served: the certificate that nginx shows, in DER; None where it shows none.
        lying: the first certificate of CERTS_DIR, in DER; None where there is none to read.
    """

    site: Site
    images: Mapping[str, str] = field(default_factory=dict)
    served: bytes | None = None
    lying: bytes | None = None

    def of(self, service: str) -> list[Mapping[str, Any]]:
        """A service's containers that run."""
        return [one for one in self.site.running if service_of(one) == service]


def gather(host: Host, site: Site) -> Facts:
    """Look which images there are, and what is served."""
    used = sorted({str(one["Config"]["Image"]) for one in site.running})
    ids = {name: host.run("docker", "image", "inspect", "--format", "{{.Id}}", name) for name in used}
    images = {name: answer.out.strip() for name, answer in ids.items() if answer.good}
    return Facts(site, images, _served(host, site), _lying(site))


def _served(host: Host, site: Site) -> bytes | None:
    """What clients are shown, at the first address on which nginx is published."""
    for one in site.running:
        if service_of(one) == NGINX:
            for binding in (one["NetworkSettings"]["Ports"] or {}).get(HTTPS) or []:
                address = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 -- who listens on it
                    binding["HostIp"], binding["HostIp"]
                )
                return host.certificate(address, int(binding["HostPort"]))
    return None


def _lying(site: Site) -> bytes | None:
    values = site.values
    path = site.folder / (values.get("CERTS_DIR") or "certs") / (values.get("TLS_CERT") or "fullchain.pem")
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())[0].public_bytes(Encoding.DER)
    except (OSError, ValueError):
        return None


def there(facts: Facts) -> Iterable[Finding]:
    """Does it run at all?"""
    if not facts.site.answers:
        yield note("not looked at: no Docker engine answers")
    elif not facts.site.running:
        yield note("nothing of this stack runs", mend="make deploy" + (" SIM=1" if facts.site.simulated else ""))


def healthy(facts: Facts) -> Iterable[Finding]:
    """Is every container up and well?"""
    if not facts.site.running:
        return
    sick = []
    for one in facts.site.containers:
        state, name = one["State"], service_of(one)
        health = (state.get("Health") or {}).get("Status", "")
        if state.get("Restarting"):
            sick.append((name, f"restarts again and again ({one.get('RestartCount', 0)} times)"))
        elif health == "unhealthy":
            sick.append((name, "is unhealthy"))
        elif not state.get("Running") and state.get("ExitCode"):
            sick.append((name, f"ended with {state['ExitCode']}"))
    for name, how in sick:
        yield warning(f"{name} {how}", "what it serves is not served", facts.site.typed("logs", "--tail", "50", name))
    if not sick:
        yield ok(f"{len(facts.site.running)} containers run, none of them unhealthy")


def changed(one: Mapping[str, Any], wanted: Mapping[str, str | None]) -> list[str]:
    """The names that a container has another value of than Compose would give it now, or that are no longer stated."""
    has = dict(line.split("=", 1) for line in one["Config"].get("Env") or [] if "=" in line)
    removed = {name for name in has if name in names() and name not in wanted}
    return sorted(removed | {name for name, value in wanted.items() if (value or "") != has.get(name, "")})


def settings(facts: Facts) -> Iterable[Finding]:
    """Was `.env` changed after a container was made?"""
    if not facts.site.config.good:
        return
    stale: dict[str, list[str]] = {}
    for one in facts.site.running:
        wanted = facts.site.stack.services.get(service_of(one))
        if wanted is not None and (differing := changed(one, wanted.environment)):
            stale[wanted.name] = differing
    if stale:
        listed = "; ".join(f"{name} ({', '.join(differing)})" for name, differing in stale.items())
        yield warning(
            f"other values than .env and the Compose files state are in force: {listed}",
            f"the change waits for a new container. {RESTART}",
            facts.site.typed("up", "-d", *stale),
        )
    elif facts.site.running:
        yield ok("every container runs with the settings that stand here")


def commands(facts: Facts) -> Iterable[Finding]:
    """Was a command line changed since?"""
    for one in facts.site.running:
        wanted = facts.site.stack.services.get(service_of(one))
        has = (*(one["Config"].get("Entrypoint") or []), *(one["Config"].get("Cmd") or []))
        if wanted is not None and wanted.entrypoint and (*wanted.entrypoint, *wanted.command) != has:
            seen = f"{wanted.name} runs with other arguments than the Compose files and .env state"
            yield warning(seen, f"the change is not in force. {RESTART}", facts.site.typed("up", "-d", wanted.name))


def images(facts: Facts) -> Iterable[Finding]:
    """Was an image built or pulled anew since?"""
    for one in facts.site.running:
        name = str(one["Config"]["Image"])
        if name in facts.images and facts.images[name] != one["Image"]:
            seen = f"{service_of(one)} runs an older {name} than the one that is here"
            yield warning(
                seen, "new code, or a mended hole, is not in force", facts.site.typed("up", "-d", service_of(one))
            )


def replicas(facts: Facts) -> Iterable[Finding]:
    """Do several gateways hold one limit?"""
    gateways = facts.of(GATEWAY)
    sharing = [
        line for line in (gateways[0]["Config"].get("Env") or [] if gateways else []) if re.match("REDIS_URL=.", line)
    ]
    if len(gateways) < SEVERAL or sharing:
        return
    means = "each has limits of its own: an organization may have each limit as many times"
    yield warning(f"{len(gateways)} gateways run without REDIS_URL", means, "REDIS_URL in .env, or GATEWAY_REPLICAS=1")


def certificate(facts: Facts) -> Iterable[Finding]:
    """Is what nginx shows what lies there?"""
    if facts.served is None or facts.lying is None:
        return
    if facts.served == facts.lying:
        yield ok("nginx shows the certificate that lies there")
    else:
        means = "clients see the old one until nginx reads the files again"
        yield warning(
            "nginx shows another certificate than the one that lies there", means, "docker compose kill -s HUP nginx"
        )


SUBJECT = Subject(
    "Running stack",
    gather,
    (
        Check("state", there),
        Check("health", healthy),
        Check("settings", settings),
        Check("arguments", commands),
        Check("images", images),
        Check("replicas", replicas),
        Check("certificate", certificate),
    ),
)
