"""A socket that takes connections whose answers do not wait."""

import socket

BACKLOG = 2048
"""Connections that may wait to be taken: after a restart all peers come at once."""


def listen(address: tuple[str | int | bytes, ...], *, family: int = socket.AF_INET) -> socket.socket:
    """Listen for TCP connections, which send small messages at once (RFC 896's delay is off).

    asyncio turns the delay off only for sockets that name their protocol, and `socket.create_server` makes others. With
    it the second part of an answer waits until the first is acknowledged, which takes 40 ms.

    Args:
        address: what to listen at, and the port; 0 takes a free one.
        family: what kind of address that is.

    Raises:
        OSError: if the address is not this machine's, or taken.
    """
    listener = socket.create_server(address, family=family, backlog=BACKLOG)
    # those that are accepted inherit it
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
