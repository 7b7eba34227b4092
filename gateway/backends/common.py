"""Which URLs mean one server for all hosts? Those that BACKENDS_SHARED says; what hosts know of others is their own."""

from urllib.parse import urlsplit

from gateway.backends.choices import BackendsShared
from gateway.core.ip_address import as_ip, usual_host

PORTS = {"http": 80, "https": 443}
OWN_NAMES = (".localhost", ".localdomain", ".docker.internal", ".containers.internal")
"""How names end by which a host means itself: `host.docker.internal` is what Docker calls it inside a container, and
`host.containers.internal` what Podman does."""


def is_one_for_all(url: str, shared: BackendsShared) -> bool:
    """Whether that URL leads each host to the same server."""
    return shared is BackendsShared.ON or (shared is BackendsShared.AUTO and not is_relative(url))


def is_relative(url: str) -> bool:
    """Whether that URL, for all that can be seen, means something else on each host.

    So does a loopback address, however it is spelled, or none at all (`0.0.0.0`), a name for the host itself, and one
    without a dot: within Compose it is one of the host's own containers.
    """
    host = usual_host(urlsplit(url).hostname or "")
    address = as_ip(host)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return "." not in host or host.endswith(OWN_NAMES)


def name_of_all(url: str) -> str:
    """What all hosts call the server at that URL, which each may have spelled its own way: `HTTP://GPU1.example:80/`."""
    parts = urlsplit(url.strip())
    host = usual_host(parts.hostname or "")
    place = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{place}:{parts.port or PORTS.get(parts.scheme, 0)}{parts.path.rstrip('/')}"
