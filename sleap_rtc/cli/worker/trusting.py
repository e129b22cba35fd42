"""What ``sleap-rtc worker trust`` finds out and changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sleap_rtc.cli.account import logged_in_api, meant_room
from sleap_rtc.config.known_workers import KnownWorker, KnownWorkers
from sleap_rtc.config.settings import Settings
from sleap_rtc.errors import NotFoundError, UnreachableError, UsageError
from sleap_rtc.protocol.ids import is_id


@dataclass(frozen=True)
class Change:
    """Whom to trust from now on.

    Attributes:
        room: the room's name.
        known: who is known under that name until now.
        online: who has it now.
        new: those of them that are not known.
        gone: who is known and is to be forgotten for that.
    """

    room: str
    known: Sequence[KnownWorker]
    online: Sequence[KnownWorker]
    new: Sequence[KnownWorker]
    gone: Sequence[KnownWorker]


async def find_known(settings: Settings, room: str | None, worker: str | None) -> list[KnownWorker]:
    """The workers that are known, by name.

    Args:
        settings: which service is meant, where a room is named.
        room: a room's id or name; None for every room of every service.
        worker: a worker's name or id; None for all of them.

    Raises:
        NotFoundError: if the user belongs to no such room.
    """
    found = KnownWorkers().all()
    if room is not None:
        place = (settings.server, await _room_id(settings, room))
        found = [each for each in found if (each.server, each.room) == place]
    named = [each for each in found if worker is None or worker in (each.name, each.worker_id)]
    return sorted(named, key=lambda each: (each.server, each.room, each.name, each.worker_id))


async def forget_known(settings: Settings, room: str | None, worker: str) -> list[KnownWorker]:
    """Forget a worker; return the entries that went.

    Raises:
        NotFoundError: if it is not known.
        UsageError: if no room is named, and several have such a worker.
    """
    found = [each for each in await find_known(settings, room, worker) if each.server == settings.server]
    if not found:
        raise NotFoundError(f"No worker '{worker}' is known here. 'sleap-rtc worker trust' shows those that are.")
    rooms = sorted({each.room for each in found})
    if len(rooms) > 1:
        raise UsageError(f"A worker '{worker}' is known in several rooms: {', '.join(rooms)}. Name one with --room.")
    return KnownWorkers().forget(found.__contains__)


async def find_change(settings: Settings, room: str | None, worker: str, *, add: bool) -> Change:
    """Find whom a user means to trust: who is online now under a name, or has an id.

    Args:
        settings: the service and the default room.
        room: a room's id or name; None for the default room.
        worker: a worker's name or id.
        add: whether those that are known under the name stay known.

    Raises:
        UnreachableError: if no such worker is online.
        UsageError: if it takes the place of the known one, and several could.
    """
    api = logged_in_api(settings)
    found = await meant_room(api, settings, room)
    online = [
        KnownWorker(settings.server, found.room_id, each.name, bytes.fromhex(each.public_key))
        for each in await api.workers(found.room_id)
    ]
    meant = [each for each in online if worker == each.worker_id] or [each for each in online if worker == each.name]
    if not meant:
        names = ", ".join(sorted({each.name for each in online})) or "nobody"
        raise UnreachableError(
            f"No worker '{worker}' is online in the room '{found.name}', so there is none to trust. Online: {names}."
        )
    if len(meant) > 1 and not add:
        ids = ", ".join(sorted(each.worker_id for each in meant))
        raise UsageError(f"Several workers called '{worker}' are online: {ids}. Give the id of one, or use --add.")
    namesakes = [each for each in KnownWorkers().of_room(settings.server, found.room_id) if each.name == meant[0].name]
    gone = [] if add else [each for each in namesakes if each not in meant]
    return Change(found.name, namesakes, meant, [each for each in meant if each not in namesakes], gone)


def keep(change: Change) -> None:
    """Write a change down. Blocks.

    Raises:
        StorageError: if it cannot be written.
    """

    def make(_: list[KnownWorker]) -> tuple[Iterable[KnownWorker], Iterable[KnownWorker]]:
        return change.gone, change.new

    KnownWorkers().change(make)


async def _room_id(settings: Settings, text: str) -> str:
    # an id needs nobody to say what it means: what is known can be seen without the service
    return text if is_id("room", text) else (await meant_room(logged_in_api(settings), settings, text)).room_id
