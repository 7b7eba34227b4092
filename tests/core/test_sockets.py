"""A reset is no proper end."""

import socket

import pytest

from gateway.core.sockets import reset_on_close


def test_the_peer_of_a_socket_that_is_closed_so_sees_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        ours, _ = listener.accept()
        with ours:
            reset_on_close(ours)
        with pytest.raises(ConnectionResetError):
            peer.recv(1)
