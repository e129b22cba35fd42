"""Which workers are in which room, in Redis: an entry counts while the process lives that wrote it."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from pydantic import ValidationError

from signaling_server.backplane.keys import KEEP_MS, Keys, process_of
from signaling_server.backplane.line import Line
from signaling_server.backplane.scripts import CLAIM, LEAVE, LOCATE, UPDATE, WORKERS
from signaling_server.signaling.members import Member
from sleap_rtc.protocol.signaling import WorkerPresence

logger = logging.getLogger(__name__)


class Claimed(NamedTuple):
    """Whether a worker's entry is there now, and the connection that had or has it instead; empty for none."""

    stays: bool
    other: str


class Presences:
    """The entries of all rooms.

    Args:
        line: to Redis.
        keys: where what lies.
    """

    def __init__(self, line: Line, keys: Keys) -> None:
        self._line = line
        self._keys = keys

    async def claim(self, member: Member, worker: WorkerPresence, *, new: bool) -> Claimed:
        """Write a worker's entry, in the place of an older one.

        Args:
            member: its connection.
            worker: what is known about it.
            new: whether the connection has proven its key just now; one that was there before Redis forgot it does
                not replace one that is newer.

        Raises:
            UnreachableError: if Redis is away.
        """
        room, entry = self._keys.room(member.principal.room), _entry(member.presence, worker)
        stays, other = await self._line.ask(
            "EVAL", CLAIM, 1, room, self._keys.prefix, worker.worker_id, entry, int(new), KEEP_MS
        )
        return Claimed(bool(stays), other.decode())

    async def update(self, member: Member, worker: WorkerPresence) -> None:
        """Replace a worker's entry, if it is still this connection's.

        Raises:
            UnreachableError: if Redis is away.
        """
        room, entry = self._keys.room(member.principal.room), _entry(member.presence, worker)
        await self._line.ask("EVAL", UPDATE, 1, room, self._keys.prefix, worker.worker_id, entry)

    def leave(self, room: str, worker_id: str, presence: str) -> None:
        """Remove a worker's entry, if it is still this connection's."""
        self._line.tell("EVAL", LEAVE, 1, self._keys.room(room), self._keys.prefix, worker_id, presence)

    async def of_room(self, room: str) -> dict[str, WorkerPresence]:
        """The workers of a room, by the connection of each.

        Raises:
            UnreachableError: if Redis is away.
        """
        entries: list[bytes] = await self._line.ask("EVAL", WORKERS, 1, self._keys.room(room), self._keys.prefix)
        found = {}
        for entry in entries:
            presence, _, told = entry.split(b" ", 2)
            try:
                found[presence.decode()] = WorkerPresence.model_validate_json(told)
            except ValidationError:
                logger.warning("a presence in Redis is of a form that is not known here")
        return found

    async def locate(self, room: str, worker_id: str) -> str | None:
        """The connection of a worker of this very room.

        Raises:
            UnreachableError: if Redis is away.
        """
        found = await self._line.ask("EVAL", LOCATE, 1, self._keys.room(room), self._keys.prefix, worker_id)
        return None if found is None else str(found.decode())

    async def forget_strangers(self, key: str, process: str, is_here: Callable[[str], bool]) -> None:
        """Remove what a room, by its key, holds in a process's name of connections that are there no more.

        Raises:
            UnreachableError: if Redis is away.
        """
        entries: dict[bytes, bytes] = await self._line.ask("HGETALL", key)
        for worker, entry in entries.items():
            presence = entry.split(b" ", 1)[0].decode()
            if process_of(presence) == process and not is_here(presence):
                self._line.tell("EVAL", LEAVE, 1, key, self._keys.prefix, worker, presence)


def _entry(presence: str, worker: WorkerPresence) -> str:
    return f"{presence} {worker.since} {worker.model_dump_json()}"
