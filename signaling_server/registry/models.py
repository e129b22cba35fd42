"""A room's models as its members see them: what is known, how they are called, who has them. Session first."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import ModelAlias, ModelHolding, RoomModel, RoomModelVersion
from signaling_server.registry.listed import place_of, read_place
from signaling_server.registry.naming import LIST
from sleap_rtc.errors import NotFoundError

NO_SUCH_NAME = f"The room has no model of that name. {LIST}"


@dataclass
class Entry:
    """A model with everything beside it.

    Attributes:
        model: what is known of it.
        versions: what it is called, the newest first.
        aliases: by name and version.
        holdings: who has it, in which formats.
    """

    model: RoomModel
    versions: list[RoomModelVersion] = field(default_factory=list)
    aliases: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    holdings: list[ModelHolding] = field(default_factory=list)


async def page(session: AsyncSession, room_id: str, *, before: str | None, limit: int) -> list[Entry]:
    """Models of a room, the newest first.

    Args:
        session: the database session.
        room_id: the room.
        before: only those after this place, which `model_place` names.
        limit: how many at most.

    Raises:
        UsageError: if `before` names no place.
    """
    query = select(RoomModel).where(RoomModel.room_id == room_id, RoomModel.deleted_at.is_(None))
    order = (RoomModel.created_at, RoomModel.digest)
    if before is not None:
        query = query.where(tuple_(*order) < tuple_(*read_place(before)))
    found = list(await session.scalars(query.order_by(*(each.desc() for each in order)).limit(limit)))
    return await _entries(session, room_id, found)


async def of_name(session: AsyncSession, room_id: str, name: str) -> list[Entry]:
    """The models that are versions of `name`, the newest version first.

    Raises:
        NotFoundError: if the room has none.
    """
    query = select(RoomModel, RoomModelVersion.version).join(
        RoomModelVersion,
        (RoomModelVersion.room_id == RoomModel.room_id) & (RoomModelVersion.digest == RoomModel.digest),
    )
    query = query.where(RoomModelVersion.room_id == room_id, RoomModelVersion.name == name)
    found = [model for model, _ in await session.execute(query.order_by(RoomModelVersion.version.desc()))]
    if not found:
        raise NotFoundError(NO_SUCH_NAME)
    return await _entries(session, room_id, found)


def model_place(entry: Entry) -> str:
    """Where a list of models goes on after this one."""
    return place_of(entry.model.created_at, entry.model.digest)


async def _entries(session: AsyncSession, room_id: str, models: Sequence[RoomModel]) -> list[Entry]:
    found = {model.digest: Entry(model) for model in models}
    held = select(ModelHolding).where(ModelHolding.room_id == room_id, ModelHolding.source.in_(found))
    for holding in await session.scalars(held.order_by(ModelHolding.worker_name, ModelHolding.worker_id)):
        found[holding.source].holdings.append(holding)
    named = select(RoomModelVersion).where(RoomModelVersion.room_id == room_id, RoomModelVersion.digest.in_(found))
    order = (RoomModelVersion.created_at.desc(), RoomModelVersion.name, RoomModelVersion.version.desc())
    versions = list(await session.scalars(named.order_by(*order)))
    aliases = await _aliases(session, room_id, {version.name for version in versions})
    for version in versions:
        entry, key = found[version.digest], (version.name, version.version)
        entry.versions.append(version)
        entry.aliases[key] = aliases.get(key, [])
    return list(found.values())


async def _aliases(session: AsyncSession, room_id: str, names: Collection[str]) -> Mapping[tuple[str, int], list[str]]:
    query = select(ModelAlias).where(ModelAlias.room_id == room_id, ModelAlias.name.in_(names))
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for row in await session.scalars(query.order_by(ModelAlias.alias)):
        found[row.name, row.version].append(row.alias)
    return found
