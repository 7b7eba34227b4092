"""What every accepted connection inherits from the listening socket."""

import socket

from gateway.server.listening import (
    KEEPALIVE_IDLE_SECS,
    KEEPALIVE_INTERVAL_SECS,
    KEEPALIVE_PROBES,
    UNSENT_BYTES,
    listen,
)


def test_a_client_whose_machine_vanishes_is_noticed_and_little_is_held_for_one_that_does_not_read() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        listener.settimeout(10)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = {
                socket.TCP_KEEPIDLE: KEEPALIVE_IDLE_SECS,
                socket.TCP_KEEPINTVL: KEEPALIVE_INTERVAL_SECS,
                socket.TCP_KEEPCNT: KEEPALIVE_PROBES,
                socket.TCP_NOTSENT_LOWAT: UNSENT_BYTES,
            }
            assert {option: accepted.getsockopt(socket.IPPROTO_TCP, option) for option in options} == options
