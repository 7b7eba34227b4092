"""Whether a URL means one server for all hosts is told by its host, unless somebody has said."""

import pytest

from gateway.backends.choices import BackendsShared
from gateway.backends.common import is_one_for_all, name_of_all

RELATIVE = (
    *("127.0.0.1", "127.3.2.1", "[::1]", "localhost", "gpu.localhost", "chat0"),
    *("127.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"),  # noqa: S104 -- nothing listens here
    *("localhost.", "chat0.", "LOCALHOST.LocalDomain", "host.docker.internal", "host.containers.internal"),
)
ABSOLUTE = ("10.0.0.5", "gpu1.example.com", "[2001:db8::1]", "chat0.inference.svc", "ip-10-0-0-5.ec2.internal")


@pytest.mark.parametrize(
    ("shared", "of_relative", "of_absolute"),
    [(BackendsShared.AUTO, False, True), (BackendsShared.ON, True, True), (BackendsShared.OFF, False, False)],
)
def test_loopback_addresses_and_names_without_a_dot_are_each_hosts_own_unless_told(
    shared: BackendsShared, *, of_relative: bool, of_absolute: bool
) -> None:
    assert {is_one_for_all(f"http://{host}:8000", shared) for host in RELATIVE} == {of_relative}
    assert {is_one_for_all(f"http://{host}:8000", shared) for host in ABSOLUTE} == {of_absolute}


@pytest.mark.parametrize(
    "url",
    [
        "HTTP://GPU1.Example.com",
        "http://gpu1.example.com.:80/",
        " http://gpu1.example.com:80",
        "http://gpu1.EXAMPLE.com:080",
    ],
)
def test_hosts_that_spell_a_url_their_own_way_mean_one_server(url: str) -> None:
    assert name_of_all(url) == "http://gpu1.example.com:80"


def test_servers_behind_one_host_are_told_apart() -> None:
    urls = ("http://g.example:8000", "https://g.example:8000", "http://g.example:8001", "http://g.example:8000/a")
    assert {name_of_all(url) for url in urls} == set(urls)
    assert name_of_all("https://[2001:DB8:0::1]/v/") == "https://[2001:db8::1]:443/v"
