"""What a room calls its models: named and promoted. Session first; whoever calls has locked the room."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.audit import service as audit
from signaling_server.audit.service import Action, Actor
from signaling_server.limit_settings import Limits
from signaling_server.models import (
    ModelAlias,
    Room,
    RoomModel,
    RoomModelName,
    RoomModelVersion,
    User,
)
from signaling_server.wording import shown
from sleap_rtc.errors import ConflictError, NotFoundError, UsageError
from sleap_rtc.protocol.ids import PREFIXES
from sleap_rtc.protocol.models import ModelRef

LIST = "The room's models: sleap-rtc models list"
NO_SUCH_MODEL = f"No worker of this room has told of such a model. {LIST}"
_JOB = PREFIXES["job"]


@dataclass(frozen=True)
class Registered:
    """Which version of the name a model is, and whether it became that just now."""

    version: int
    is_new: bool


async def register(
    session: AsyncSession, room: Room, name: str, digest: str, *, by: Actor, named_for: Actor, now: int, limits: Limits
) -> Registered:
    """Make a model the next version of `name`; one that has the name already keeps its version.

    Args:
        session: the database session.
        room: the room.
        name: the name, in the form that `ModelName` has.
        digest: the bundle's.
        by: who does it, for the room's log.
        named_for: whose doing it is called.
        now: the time.
        limits: how many names and versions there may be.

    Raises:
        NotFoundError: if the room does not know the model.
        ConflictError: if the model was deleted, the name looks like another one, or there are too many.
        UsageError: if the name looks like a job's id.
    """
    if name.startswith(_JOB):
        raise UsageError(f"A model's name cannot begin with {_JOB}: so do the ids of jobs. Choose another name.")
    await checked_model(session, room, digest)
    line = await _line_for(session, room, name, now, limits)
    of_name = (RoomModelVersion.room_id == room.id, RoomModelVersion.name == line.name)
    known = await session.scalar(select(RoomModelVersion).where(*of_name, RoomModelVersion.digest == digest))
    if known is not None:
        return Registered(known.version, is_new=False)
    living = await session.scalar(select(func.count()).select_from(RoomModelVersion).where(*of_name)) or 0
    if living >= limits.versions_per_model:
        raise ConflictError(
            f"'{name}' has {living} versions, the most this service allows. Delete one that is no longer needed: "
            "sleap-rtc models delete"
        )
    line.last_version += 1
    session.add(
        RoomModelVersion(
            room_id=room.id,
            name=name,
            version=line.last_version,
            digest=digest,
            created_by=named_for.id,
            created_by_name=named_for.name,
            created_at=now,
        )
    )
    await session.flush()
    detail = "" if by == named_for else f"for {named_for.name}"
    subject = ref_of(name, line.last_version)
    audit.record(session, room, Action.MODEL_REGISTERED, by=by, now=now, subject=subject, detail=detail)
    return Registered(line.last_version, is_new=True)


async def move_alias(
    session: AsyncSession,
    room: Room,
    name: str,
    alias: str,
    version: int,
    *,
    expected: Sequence[int | None],
    by: User,
    now: int,
    limit: int,
) -> int | None:
    """Let an alias point to a version.

    Args:
        session: the database session.
        room: the room.
        name: the model's name.
        alias: the alias; it is made if it is not there.
        version: where it shall point.
        expected: one of these it has to point to now (None: it is not there); anywhere if empty.
        by: who does it.
        now: the time.
        limit: aliases that a name may have.

    Returns:
        Where it pointed before; None if it is new.

    Raises:
        NotFoundError: if there is no such version.
        ConflictError: if it points elsewhere than expected, or there are too many.
    """
    await checked_version(session, room.id, name, version)
    row = await session.get(ModelAlias, (room.id, name, alias))
    was = row.version if row is not None else None
    if expected and was not in expected:
        _moved_meanwhile(name, alias, was)
    if was == version:
        return was
    if row is None:
        of_name = (ModelAlias.room_id == room.id, ModelAlias.name == name)
        if (await session.scalar(select(func.count()).select_from(ModelAlias).where(*of_name)) or 0) >= limit:
            raise ConflictError(
                f"'{name}' has {limit} aliases, the most this service allows. Take one away: "
                f"sleap-rtc models promote {name} ALIAS --remove"
            )
        row = ModelAlias(room_id=room.id, name=name, alias=alias)
        session.add(row)
    row.version, row.moved_by, row.moved_at = version, by.id, now
    detail = f"as {alias}" + (f", was {ref_of(name, was)}" if was is not None else "")
    audit.record(session, room, Action.MODEL_PROMOTED, by=by, now=now, subject=ref_of(name, version), detail=detail)
    return was


async def remove_alias(session: AsyncSession, room: Room, name: str, alias: str, *, by: User, now: int) -> None:
    """Take an alias away.

    Raises:
        NotFoundError: if there is none.
    """
    row = await session.get(ModelAlias, (room.id, name, alias))
    if row is None:
        raise NotFoundError(f"The room has no model with this name and alias. {LIST}")
    subject = ref_of(name, row.version)
    await session.delete(row)
    audit.record(session, room, Action.MODEL_PROMOTED, by=by, now=now, subject=subject, detail=f"not as {alias} now")


async def checked_version(session: AsyncSession, room_id: str, name: str, version: int) -> RoomModelVersion:
    """The version of a name.

    Raises:
        NotFoundError: if there is none, or it was deleted.
    """
    row = await session.get(RoomModelVersion, (room_id, name, version))
    if row is not None:
        return row
    line = await session.get(RoomModelName, (room_id, name))
    if line is not None and version <= line.last_version:
        raise NotFoundError(f"{ref_of(name, version)} was deleted. {LIST}")
    raise NotFoundError(f"The room has no model with this name and version. {LIST}")


async def checked_model(session: AsyncSession, room: Room, digest: str) -> RoomModel:
    """A model of the room.

    Raises:
        NotFoundError: if the room does not know it.
        ConflictError: if it was deleted.
    """
    model = await session.get(RoomModel, (room.id, digest))
    if model is None:
        raise NotFoundError(NO_SUCH_MODEL)
    if model.deleted_at is not None:
        raise ConflictError("That model was deleted from this room, so it can get no name there.")
    return model


async def _line_for(session: AsyncSession, room: Room, name: str, now: int, limits: Limits) -> RoomModelName:
    of_room = RoomModelName.room_id == room.id
    line = await session.scalar(select(RoomModelName).where(of_room, RoomModelName.folded == name.lower()))
    if line is not None and line.name != name:
        raise ConflictError(
            f"The room calls a model {shown(line.name)}: '{name}' would be mistaken for it. Write it as it is there, "
            "or choose another name."
        )
    if line is not None:
        return line
    if (await session.scalar(select(func.count()).select_from(RoomModelName).where(of_room)) or 0) >= (
        limits.model_names_per_room
    ):
        raise ConflictError(
            f"The room has given {limits.model_names_per_room} names to models, the most this service allows. "
            "Use one of them."
        )
    line = RoomModelName(room_id=room.id, name=name, folded=name.lower(), last_version=0, created_at=now)
    session.add(line)
    await session.flush()
    return line


async def names_of(session: AsyncSession, room: Room, digest: str) -> list[str]:
    """Some of the versions that a model is, the oldest first."""
    query = select(RoomModelVersion).where(RoomModelVersion.room_id == room.id, RoomModelVersion.digest == digest)
    found = await session.scalars(query.order_by(RoomModelVersion.created_at, RoomModelVersion.name).limit(3))
    return [ref_of(row.name, row.version) for row in found]


def _moved_meanwhile(name: str, alias: str, now_at: int | None) -> NoReturn:
    where = "is not there" if now_at is None else f"is {ref_of(name, now_at)}"
    raise ConflictError(f"{ref_of(name, alias)} {where} by now: somebody changed it. Look, and do it again.")


def ref_of(name: str, at: int | str) -> str:
    """A version or an alias of a name, as people write it."""
    return str(ModelRef(name=name, version=at) if isinstance(at, int) else ModelRef(name=name, alias=at))
