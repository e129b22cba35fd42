"""The socket of the service."""

import socket
from contextlib import closing

from signaling_server.listening import listen


def test_connections_send_small_messages_at_once() -> None:
    with (
        closing(listen(("127.0.0.1", 0))) as listener,
        closing(socket.create_connection(listener.getsockname())),
        closing(listener.accept()[0]) as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
