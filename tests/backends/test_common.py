"""Whether a URL means one server for all hosts is told by its host, unless somebody has said."""

import pytest

from gateway.backends.choices import BackendsShared
from gateway.backends.common import is_one_for_all

RELATIVE = ("127.0.0.1", "127.3.2.1", "[::1]", "localhost", "gpu.localhost", "chat0")
ABSOLUTE = ("10.0.0.5", "gpu1.example.com", "[2001:db8::1]", "chat0.inference.svc")


@pytest.mark.parametrize(
    ("shared", "of_relative", "of_absolute"),
    [(BackendsShared.AUTO, False, True), (BackendsShared.ON, True, True), (BackendsShared.OFF, False, False)],
)
def test_loopback_addresses_and_names_without_a_dot_are_each_hosts_own_unless_told(
    shared: BackendsShared, *, of_relative: bool, of_absolute: bool
) -> None:
    assert {is_one_for_all(f"http://{host}:8000", shared) for host in RELATIVE} == {of_relative}
    assert {is_one_for_all(f"http://{host}:8000", shared) for host in ABSOLUTE} == {of_absolute}
