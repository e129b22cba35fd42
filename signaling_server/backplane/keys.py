"""Where in Redis what lies: everything behind one prefix, so that others may use the same server."""

import base64
import secrets

from sleap_rtc.protocol.ids import PREFIXES

TAG_BYTES = 5
"""Five bytes are exactly eight characters of base32: a presence id begins with its process's."""
_TAG = 8
KEEP_MS = 24 * 3600 * 1000
"""How long what nobody renews stays: entries of processes that died and whose rooms nobody looks at."""


def new_tag() -> bytes:
    """What a new process is called, in the bytes that its presence ids begin with."""
    return secrets.token_bytes(TAG_BYTES)


def process_id(tag: bytes) -> str:
    """A process's id: its tag as presence ids show it."""
    return base64.b32encode(tag).decode().lower()


def process_of(presence: str) -> str:
    """The process at which a connection is."""
    begin = len(PREFIXES["presence"])
    return presence[begin : begin + _TAG]


class Keys:
    """The names of everything.

    Args:
        prefix: what all begin with.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.everybody = f"{prefix}everybody"
        self.counters = f"{prefix}counters"

    def inbox(self, process: str) -> str:
        """The channel on which a process hears what is meant for it alone."""
        return f"{self.prefix}to:{process}"

    def lease(self, process: str) -> str:
        """What is there while a process lives."""
        return f"{self.prefix}process:{process}"

    def room(self, room: str) -> str:
        """The workers of a room: a hash of their presences."""
        return f"{self.prefix}room:{room}"

    def address(self, address: str) -> str:
        """How many connections each process has from an address."""
        return f"{self.prefix}address:{address}"

    def user(self, user: str) -> str:
        """How many connections each process has of a user."""
        return f"{self.prefix}user:{user}"

    def ticket(self, key: bytes) -> str:
        """A ticket, by its hash."""
        return f"{self.prefix}ticket:{key.hex()}"

    def tickets(self, login: str) -> str:
        """The tickets of a login that wait."""
        return f"{self.prefix}tickets:{login}"

    def window(self, name: str, key: str) -> str:
        """The latest events of one key of a limit."""
        return f"{self.prefix}window:{name}:{key}"

    def windows(self, name: str) -> str:
        """All keys of one limit, by the time of their latest event."""
        return f"{self.prefix}windows:{name}"

    def errand(self, name: str) -> str:
        """Who does something that only one does."""
        return f"{self.prefix}errand:{name}"
