"""Whose program it is that has connected to a port of this machine.

Linux tells everybody to whom each socket belongs: proc_pid_net(5), ``/proc/net/tcp``.
"""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

_ESTABLISHED = "01"
# what stands before an IPv4 address in a socket that speaks IPv6 as well (RFC 4291 §2.5.5.2)
_MAPPED = (bytes(4), bytes(4), b"\0\0\xff\xff")
_TABLES = (("/proc/net/tcp", ()), ("/proc/net/tcp6", _MAPPED))

Place = tuple[str, int]
"""An IPv4 address and a port."""


def user_at(client: Place, server: Place) -> int | None:
    """The number of the user whose program has connected to us; None if this machine does not say. Blocks.

    Args:
        client: where the program is.
        server: where we are.
    """
    for table, before in _TABLES:
        ends = [_written(before, client), _written(before, server), _ESTABLISHED]
        for fields in _rows(Path(table)):
            # one that its program has closed is listed as root's
            if fields[1:4] == ends:
                return int(fields[7])
    return None


def _rows(table: Path) -> Iterator[list[str]]:
    try:
        lines = table.read_text("ascii").splitlines()
    except OSError:  # a kernel without IPv6, or one that keeps this to itself
        return
    yield from (line.split() for line in lines[1:])


def _written(before: tuple[bytes, ...], place: Place) -> str:
    # four bytes at a time, as this machine's processor would read them
    words = [*before, socket.inet_aton(place[0])]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{place[1]:04X}"
