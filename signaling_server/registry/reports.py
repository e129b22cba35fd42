"""Reports on their way into the database: one after another, off the sockets' readers."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.audit.service import Actor
from signaling_server.db import Database
from signaling_server.db_errors import UNUSABLE
from signaling_server.limit_settings import Limits
from signaling_server.models import Room, RoomModel, User
from signaling_server.registry import holdings, naming
from signaling_server.registry import service as registry
from signaling_server.registry.holdings import ModelKey
from signaling_server.registry.source import Source, is_kept, lock
from signaling_server.signaling.members import Member
from sleap_rtc.errors import BusyError, ConflictError, NotFoundError, SleapRTCError, StorageError
from sleap_rtc.protocol.codec import ErrorInfo, Failure
from sleap_rtc.protocol.reports import ModelFacts, ModelRegistered, RegisterModel, Reported, ReportJobs, ReportModels

logger = logging.getLogger(__name__)

Report = ReportJobs | ReportModels | RegisterModel


@dataclass
class _Line:
    """What one connection has sent: the reports that wait, and the models of a list that is not complete yet."""

    waiting: deque[Report] = field(default_factory=deque)
    listed: set[ModelKey] = field(default_factory=set)


class StoredReports:
    """Stores reports, one at a time, each connection's in the order they came, connections in turn.

    Args:
        database: where they go.
        clock: UTC milliseconds.
        limits: the bounds.
    """

    def __init__(self, database: Database, clock: Callable[[], int], limits: Limits) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        self._lines: dict[Member, _Line] = {}
        self._turns: deque[Member] = deque()
        self._news = asyncio.Event()
        self._stopped = False

    def take(self, member: Member, message: Report) -> None:
        """See `signaling_server.signaling.reporting.Reports.take`."""
        line = self._lines.setdefault(member, _Line())
        if len(line.waiting) >= self._limits.waiting_reports:
            raise BusyError("Your earlier reports are not stored yet. Wait for their answers before you send more.")
        line.waiting.append(message)
        self._turns.append(member)
        self._news.set()

    def leave(self, member: Member) -> None:
        """See `signaling_server.signaling.reporting.Reports.leave`."""
        self._lines.pop(member, None)

    async def run(self) -> None:
        """Store what comes until `stop`; what is being stored then is finished."""
        while not self._stopped:
            if not self._turns:
                self._news.clear()
                await self._news.wait()
                continue
            member = self._turns.popleft()
            line = self._lines.get(member)
            # who was sent away meanwhile may tell nothing any more
            if line is not None and not member.outbox.ended.is_set():
                await self._serve(member, line)

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stopped = True
        self._news.set()

    async def _serve(self, member: Member, line: _Line) -> None:
        message = line.waiting[0]
        error: SleapRTCError
        try:
            async with self._database.transaction() as session:
                answer = await self._store(session, member, line, message)
        except SleapRTCError as problem:
            error = problem
        except Exception:
            # one report that cannot be stored ends neither the socket it came from nor the service of all others
            logger.exception("a report of %s could not be stored", member.presence)
            error = StorageError(UNUSABLE)
        else:
            member.send(answer.model_copy(update={"re": message.id}))
            return
        finally:
            line.waiting.popleft()
        # nothing of this transaction is there: a list of models begins again
        line.listed.clear()
        member.send(Failure(re=message.id, error=ErrorInfo.of(error)))

    async def _store(
        self, session: AsyncSession, member: Member, line: _Line, message: Report
    ) -> Reported | ModelRegistered:
        room = member.principal.room
        worker = member.worker
        kept = worker is not None and await is_kept(session, room)
        if worker is None or not kept:
            if isinstance(message, RegisterModel):
                raise ConflictError("Without members a room gives its models no names: use one that you make yourself.")
            return Reported(stored=0, wanted=False)
        source = Source(room, worker.worker_id, worker.name)
        now = self._clock()
        if isinstance(message, RegisterModel):
            return await self._register(session, source, message, now)
        if isinstance(message, ReportJobs):
            refused = await registry.store_jobs(
                session, source, message.jobs, now=now, limit=self._limits.jobs_per_room
            )
            return Reported(stored=len(message.jobs) - len(refused), refused=tuple(refused))
        told = await holdings.store_models(session, source, message.models, line.listed, now=now, limits=self._limits)
        if message.complete:
            await holdings.drop_models(session, source, but=line.listed)
            line.listed.clear()
        return Reported(stored=told.stored, unwanted=told.unwanted)

    async def _register(
        self, session: AsyncSession, source: Source, message: RegisterModel, now: int
    ) -> ModelRegistered:
        await lock(session, source.room_id)
        room = await session.get(Room, source.room_id)
        model = await session.get(RoomModel, (source.room_id, message.digest))
        if room is None or model is None or not await holdings.holds(session, source, message.digest):
            raise NotFoundError("A worker gives names to models that it has told of. Tell of this one first.")
        # who trained it wanted the name; that they did is the worker's word, so the room's log names the worker
        user = await session.get(User, model.user_id) if model.user_id else None
        made_by = ModelFacts.model_validate_json(model.facts).made_by
        named_for = Actor(model.user_id, user.name if user is not None else made_by)
        made = await naming.register(
            session,
            room,
            message.name,
            message.digest,
            by=Actor(source.worker_id, source.worker_name),
            named_for=named_for,
            now=now,
            limits=self._limits,
        )
        return ModelRegistered(name=message.name, version=made.version)
