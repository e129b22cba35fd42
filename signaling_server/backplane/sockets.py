"""How many connections each process has from an address and of a user, in Redis: the bounds hold for all together."""

from signaling_server.backplane.keys import KEEP_MS, Keys
from signaling_server.backplane.line import Line
from signaling_server.backplane.scripts import COUNT
from signaling_server.limit_settings import Limits
from signaling_server.limits import limit_key
from signaling_server.signaling.hub import FROM_ADDRESS, OF_USER, MemoryHub
from signaling_server.signaling.members import Member

_UNBOUNDED = 0
_REFUSALS = {1: FROM_ADDRESS, 2: OF_USER}


class Sockets:
    """Tells Redis the numbers of this process as they are, so that a number it missed is right the next time.

    Args:
        line: to Redis.
        keys: where what lies.
        process: whose numbers they are.
        here: the members of this process.
        limits: the bounds.
    """

    def __init__(self, line: Line, keys: Keys, process: str, here: MemoryHub, limits: Limits) -> None:
        self._line = line
        self._keys = keys
        self._process = process
        self._here = here
        self._limits = limits

    async def count(self, member: Member) -> str | None:
        """Count a connection that was just added here; the sentence for it if there are too many in all processes.

        Raises:
            UnreachableError: if Redis is away.
        """
        of_user = self._limits.clients_per_user if member.principal.role == "client" else _UNBOUNDED
        full: int = await self._line.ask(*self._counting(member, self._limits.sockets_per_address, of_user))
        return _REFUSALS.get(full)

    def tell(self, member: Member) -> None:
        """Say how many there are from where `member` is or was, and of whom."""
        self._line.tell(*self._counting(member, _UNBOUNDED, _UNBOUNDED))

    def tell_all(self) -> None:
        """Say all numbers of this process."""
        for member in {self._names(member): member for member in self._here.members()}.values():
            self.tell(member)

    def names(self) -> set[str]:
        """The keys under which this process has a number."""
        return {key for member in self._here.members() for key in self._names(member)}

    def forget(self, key: str) -> None:
        """This process has no number under `key`."""
        self._line.tell("HDEL", key, self._process)

    def _names(self, member: Member) -> tuple[str, str]:
        return self._keys.address(limit_key(member.address)), self._keys.user(member.principal.user)

    def _counting(self, member: Member, from_address: int, of_user: int) -> tuple[str | int, ...]:
        there, theirs = self._here.counted(limit_key(member.address), member.principal.user)
        return (
            *("EVAL", COUNT, 2, *self._names(member), self._keys.prefix, self._process),
            *(there, from_address, theirs, of_user, KEEP_MS),
        )
