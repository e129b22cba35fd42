"""From what was typed after ``sleap-rtc jobs …`` to the workers that are meant, or to the one job."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from sleap_rtc.cli.telling import say_met, say_service
from sleap_rtc.client.acquaintance import OnMet
from sleap_rtc.client.choice import Wish, fitting
from sleap_rtc.client.client import Client, enter_session
from sleap_rtc.client.link import OnState
from sleap_rtc.client.pending import PendingJob, PendingJobs
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.client.room_jobs import ambiguous, check_job_text, find_job, find_worker
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.settings import Settings
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import UnreachableError, UsageError
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import Room, ServiceAPI, find_room
from sleap_rtc.transport.engines import Engine, preload


@dataclass(frozen=True)
class Request:
    """The options as they came.

    Attributes:
        session_typed: whether the session string was typed, and does not come from the environment.
        timeouts: how long to wait for what.
        secrets: finds the secrets of rooms.
        on_met: told of each worker that is remembered.
    """

    session_string: str | None
    session_typed: bool
    room: str | None
    worker: str | None
    settings: Settings
    timeouts: Timeouts = field(default_factory=Timeouts)
    secrets: SecretLookup = field(default_factory=SecretLookup.of_this_machine)
    on_met: OnMet = say_met


@dataclass(frozen=True)
class SessionPlace:
    """The worker of a session string, and the service for a string that names none."""

    text: str = field(repr=False)
    server: str


@dataclass(frozen=True)
class RoomPlace:
    """A room by id or name, or one worker of it by id or name.

    Attributes:
        away: what to say if that worker is not online; None for what is always said.
    """

    server: str
    room: str
    worker: str | None = None
    away: str | None = None


def find_place(request: Request, known: PendingJob | None = None) -> SessionPlace | RoomPlace:
    """Decide where to look: where it was typed, then where the journal knows the job, then environment and files.

    Args:
        request: what was typed.
        known: the journal's entry of the job, if it has one.

    Raises:
        UsageError: if the options contradict each other, or nothing says where to look.
    """
    # the token of a session string belongs to its own server: a project's file must not send it elsewhere
    settings, own_server = request.settings, request.settings.own_server
    if request.session_typed and request.session_string is not None:
        if request.room is not None or request.worker is not None:
            raise UsageError("Give either --session-string, which names one worker, or --room and --worker, not both.")
        return SessionPlace(request.session_string, own_server)
    if request.room is None and request.worker is None:
        if known is not None and known.session:
            return SessionPlace(known.session, known.server)
        if known is not None and known.server and known.room:
            return RoomPlace(known.server, known.room, known.worker_id, _away(known))
        if request.session_string is not None:
            return SessionPlace(request.session_string, own_server)
    room = settings.default_room if request.room is None else request.room
    if not room:
        raise UsageError(
            "Where shall jobs be looked for? Name a room with --room (or once and for all: sleap-rtc room "
            "set-default), or give the line that a worker printed with --session-string."
        )
    return RoomPlace(settings.server, room, request.worker)


def _away(job: PendingJob) -> str:
    name = job.worker_name or job.worker_id
    return f"The job {job.job} is on {name}, which is not online. It goes on there; try again when {name} is back."


@asynccontextmanager
async def enter(
    request: Request, place: SessionPlace | RoomPlace
) -> AsyncIterator[tuple[Client, list[WorkerPresence]]]:
    """Join the room of a place, and name the workers there that are meant: at least one.

    Args:
        request: settings and times.
        place: where to look.

    Raises:
        AuthenticationError: if nobody is logged in, or the session string expired.
        NotFoundError: if there is no such room.
        UnreachableError: if the service or every worker is out of reach.
    """
    if isinstance(place, RoomPlace):
        async with enter_room(request, place) as (client, room, online):
            if place.away and place.worker not in {each.worker_id for each in online}:
                raise UnreachableError(place.away)
            yield client, fitting(online, Wish(place.worker), room=room.name)
        return
    engine = cast(Engine, request.settings.transport)
    await asyncio.to_thread(preload, engine)
    async with enter_session(
        place.text, default_server=place.server, engine=engine, timeouts=request.timeouts,
        limits=request.settings.limits, secrets=request.secrets.secrets, on_service=say_service,
    ) as (client, presence):  # fmt: skip
        yield client, [presence]


@asynccontextmanager
async def enter_room(
    request: Request, place: RoomPlace
) -> AsyncIterator[tuple[Client, Room, Sequence[WorkerPresence]]]:
    """Join a room, and name all its workers that are online, be there any or not.

    Raises:
        SleapRTCError: as `enter` does.
    """
    engine = cast(Engine, request.settings.transport)
    await asyncio.to_thread(preload, engine)
    account = Account(place.server)
    room = find_room(await ServiceAPI(place.server, account).rooms(), place.room)
    await asyncio.to_thread(request.secrets.check_name, place.server, place.room, room.room_id)
    async with Client.join(
        place.server, account, room=room.room_id, engine=engine, timeouts=request.timeouts,
        limits=request.settings.limits, secrets=request.secrets.secrets, on_service=say_service, on_met=request.on_met,
    ) as client:  # fmt: skip
        yield client, room, await client.workers()


@asynccontextmanager
async def reach_job(
    request: Request, text: str, *, on_state: OnState = lambda state, reason: None
) -> AsyncIterator[tuple[RemoteJob, WorkerPresence]]:
    """Find a job and keep a link to its worker while the body runs.

    Args:
        request: where to look, as it was typed.
        text: the job's id, or enough of its beginning.
        on_state: told when the link is lost and restored.

    Raises:
        UsageError: if that is no id, if several jobs begin like that, or if nothing says where to look.
        NotFoundError: if there is no such job that this user may act on.
        UnreachableError: if its worker is out of reach.
    """
    known = await asyncio.to_thread(known_job, check_job_text(text))
    place = find_place(request, known)
    text = known.job if known else text
    async with enter(request, place) as (client, workers):
        worker = workers[0] if len(workers) == 1 else (await find_worker(client, workers, text))[0]
        async with client.dial(worker.worker_id, name=worker.name, on_state=on_state) as remote:
            yield await find_job(remote, text), worker


def known_job(text: str) -> PendingJob | None:
    """The journal's entry of a job that was sent from this machine. Blocks.

    Args:
        text: the job's id, or enough of its beginning.

    Raises:
        UsageError: if several jobs of the journal begin like that.
    """
    found = PendingJobs().named(text)
    if len(found) > 1:
        raise UsageError(ambiguous(text, [each.job for each in found]))
    return found[0] if found else None
