"""Which URLs mean one server for all hosts? Those that BACKENDS_SHARED says; what hosts know of others is their own."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.backends.choices import BackendsShared


def is_one_for_all(url: str, shared: BackendsShared) -> bool:
    """Whether that URL leads each host to the same server."""
    return shared is BackendsShared.ON or (shared is BackendsShared.AUTO and not is_relative(url))


def is_relative(url: str) -> bool:
    """Whether that URL, for all that can be seen, means something else on each host.

    So does a loopback address, and a name without a dot: within Compose it is one of the host's own containers.
    """
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return "." not in host or host.endswith(".localhost")
