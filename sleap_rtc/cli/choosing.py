"""How a job comes to its worker in a room: the journal, a name, auto-select, or the user's own choice."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from sleap_rtc.cli.asking import can_ask, read_line
from sleap_rtc.cli.output import note, table
from sleap_rtc.cli.progress import JobDisplay
from sleap_rtc.client.choice import COLUMNS, RULE, Wish, announcement, fitting, rows, waiting_text
from sleap_rtc.client.client import Client
from sleap_rtc.client.package import Package
from sleap_rtc.client.pending import PendingJobs, content_of
from sleap_rtc.config.servers import normal_server
from sleap_rtc.errors import UnreachableError, UsageError
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import Room, ServiceAPI, find_room


@dataclass(frozen=True)
class RoomChoice:
    """A room, and how its worker is chosen.

    Attributes:
        room: the room's id or name.
        auto_select: whether the program chooses.
        wish: what the user asks of the worker.
    """

    room: str
    auto_select: bool
    wish: Wish


@dataclass(frozen=True)
class Chosen:
    """A worker, and what it takes to reach it."""

    account: Account
    room: str
    presence: WorkerPresence


async def choose_worker(server: str, choice: RoomChoice, package: Package, display: JobDisplay, *, new: bool) -> Chosen:
    """Choose the worker that a package is sent to.

    Args:
        server: the service's address.
        choice: the room and how to choose.
        package: what is sent: its worker is the one that has it already.
        display: what is on the screen meanwhile.
        new: do not look for a job that this package made before.

    Raises:
        AuthenticationError: if the user is not logged in.
        NotFoundError: if there is no such room.
        ConflictError: if it has expired.
        UsageError: if the choice is left to a user who cannot be asked, or the name belongs to several.
        UnreachableError: if no worker is online or none fits.
    """
    account = Account(server)
    api = ServiceAPI(server, account)
    room = find_room(await api.rooms(), choice.room)
    online = await api.workers(room.room_id)
    if not online:
        # an expired room has no workers either; the service judges that, and says so to whoever enters
        async with Client.join(server, account, room=room.room_id):
            pass
    with display.paused():
        presence = None if new or choice.wish.worker else _same_as_before(server, room, online, package)
        return Chosen(account, room.room_id, presence or await _pick(online, choice, room.name))


def _same_as_before(
    server: str, room: Room, online: Sequence[WorkerPresence], package: Package
) -> WorkerPresence | None:
    """The worker that this package was sent to by an earlier command whose results have not come home."""
    content = content_of(package.manifest.digest, package.options)
    known = PendingJobs().find_in_room(normal_server(server), room.room_id, content)
    if known is None:
        return None
    for worker in online:
        if worker.worker_id == known.worker_id:
            note(f"This is the job {known.job} on {worker.name} already: going on with it. --new makes another job.")
            return worker
    raise UnreachableError(
        f"This is the job {known.job} on {known.worker_name or known.worker_id}, which is not online. Type the "
        "same command when it is back, or add --new for another job on another worker."
    )


async def _pick(online: Sequence[WorkerPresence], choice: RoomChoice, room: str) -> WorkerPresence:
    able = fitting(online, choice.wish, room=room)
    chosen = able[0]
    if choice.wish.worker is None and choice.auto_select:
        note(announcement(chosen, able))
    elif choice.wish.worker is None:
        chosen = await _ask(able, room)
    if waiting := waiting_text(chosen):
        note(waiting)
    return chosen


async def _ask(workers: Sequence[WorkerPresence], room: str) -> WorkerPresence:
    if not can_ask():
        names = ", ".join(each.name for each in workers)
        raise UsageError(
            f"Which worker of the room '{room}' shall have the job ({names})? There is no terminal to ask on: add "
            f"--auto-select, which takes {RULE}, or name one with --worker."
        )
    note(f"Workers of the room '{room}', as auto-select would take them:")
    table(("#", *COLUMNS), [(str(at), *row) for at, row in enumerate(rows(workers), 1)], sys.stderr)
    while True:
        note(f"Which one? Type its number, 1 to {len(workers)} (Enter takes 1).")
        typed = await read_line()
        if typed is None:
            raise UsageError("No worker was chosen. Type the command again, or add --auto-select.")
        number = typed.strip() or "1"
        if number.isdecimal() and 1 <= int(number) <= len(workers):
            return workers[int(number) - 1]
