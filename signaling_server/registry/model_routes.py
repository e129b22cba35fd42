"""``/api/v1/rooms/{room_id}/models``: the room's models and what it calls them, for its members."""

from contextlib import suppress
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict

from signaling_server.audit.service import Actor
from signaling_server.deps import Afterwards, CurrentUser, DBSession, Service, ServiceDep
from signaling_server.http import StrictRoute
from signaling_server.registry import deleting, models, naming
from signaling_server.registry.deleting import Deleted
from signaling_server.registry.models import Entry
from signaling_server.rooms import service as rooms
from signaling_server.rooms.permits import LockedSeat
from sleap_rtc.errors import UnreachableError
from sleap_rtc.protocol.files import Sha256
from sleap_rtc.protocol.models import Alias, ModelFormat, ModelName, ModelVersion
from sleap_rtc.protocol.reports import ModelFacts, Reported

router = APIRouter(prefix="/rooms/{room_id}/models", tags=["models"], route_class=StrictRoute)

PAGE = 50
MOST = 200
AliasPath = Annotated[Alias, Path()]
VersionPath = Annotated[int, Path(ge=1, lt=2**31)]


class NamedOut(BaseModel):
    """A version that a model is, and the aliases that point to it."""

    name: str
    version: int
    aliases: list[str]
    created_at: int
    created_by: str


class HeldFormatOut(BaseModel):
    """A format in which a worker has the model; `digest` is of the files of that format."""

    format: ModelFormat
    digest: str
    size: int


class HolderOut(BaseModel):
    """A worker that has the model."""

    worker_id: str
    worker_name: str
    online: bool
    formats: list[HeldFormatOut]


class ModelOut(ModelFacts):
    """A model of the room. `updated_at`: when a worker last told of it."""

    digest: str
    title: str
    size: int
    job_id: str | None
    user_id: str | None
    created_at: int
    updated_at: int
    names: list[NamedOut]
    formats: list[ModelFormat]
    holders: list[HolderOut]


class ModelPage(BaseModel):
    """Some of a room's models, the newest first; `next` is the `before` of the page that follows, null at the end."""

    models: list[ModelOut]
    next: str | None


class LineOut(BaseModel):
    """All that the room has under one name: its versions, the newest first, and where its aliases point."""

    versions: list[ModelOut]
    aliases: dict[str, int]


class NameModel(BaseModel):
    """Which model to give which name."""

    model_config = ConfigDict(extra="ignore")
    name: ModelName
    digest: Sha256


class RegisteredOut(BaseModel):
    """Which version of the name the model is."""

    name: str
    version: int
    digest: str


class MoveAlias(BaseModel):
    """Where an alias shall point; with `expected` only if it points there now, with null only if it is not there."""

    model_config = ConfigDict(extra="ignore")
    version: ModelVersion
    expected: ModelVersion | None = None


class AliasOut(BaseModel):
    """Where an alias points now, and where it pointed before; null if it is new."""

    name: str
    alias: str
    version: int
    was: int | None


@router.get("")
async def list_models(
    room_id: str,
    service: ServiceDep,
    login: CurrentUser,
    limit: Annotated[int, Query(ge=1, le=MOST)] = PAGE,
    before: Annotated[str | None, Query(max_length=320)] = None,
) -> ModelPage:
    """List the models of a room, with a name or without."""
    async with service.database.reading() as session:
        seat = await rooms.seat(session, login.user, room_id)
        found = await models.page(session, seat.room.id, before=before, limit=limit + 1)
    online = await _online(service, room_id)
    shown = [_model(entry, online) for entry in found[:limit]]
    return ModelPage(models=shown, next=models.model_place(found[limit - 1]) if len(found) > limit else None)


@router.post("", status_code=201, responses={200: {"model": RegisteredOut, "description": "It had the name already"}})
async def register_model(
    body: NameModel, seat: LockedSeat, service: ServiceDep, session: DBSession, login: CurrentUser, response: Response
) -> RegisteredOut:
    """Make a model the next version of a name; one that has the name already keeps its version."""
    actor = Actor.of(login.user)
    made = await naming.register(
        session,
        seat.room,
        body.name,
        body.digest,
        by=actor,
        named_for=actor,
        now=service.clock(),
        limits=service.settings.limits,
    )
    if not made.is_new:
        response.status_code = 200
    return RegisteredOut(name=body.name, version=made.version, digest=body.digest)


@router.get("/{model_name}")
async def show_model(model_name: str, room_id: str, service: ServiceDep, login: CurrentUser) -> LineOut:
    """Show all versions of a name."""
    async with service.database.reading() as session:
        seat = await rooms.seat(session, login.user, room_id)
        found = await models.of_name(session, seat.room.id, model_name)
    online = await _online(service, room_id)
    aliases = {
        alias: version
        for entry in found
        for (name, version), pointing in entry.aliases.items()
        for alias in pointing
        if name == model_name
    }
    return LineOut(versions=[_model(entry, online) for entry in found], aliases=aliases)


@router.put("/{model_name}/aliases/{alias}")
async def move_alias(
    model_name: str,
    alias: AliasPath,
    body: MoveAlias,
    seat: LockedSeat,
    service: ServiceDep,
    session: DBSession,
    login: CurrentUser,
) -> AliasOut:
    """Let an alias of a name point to one of its versions."""
    was = await naming.move_alias(
        session,
        seat.room,
        model_name,
        alias,
        body.version,
        expected=[body.expected] if "expected" in body.model_fields_set else [],
        by=login.user,
        now=service.clock(),
        limit=service.settings.limits.aliases_per_model,
    )
    return AliasOut(name=model_name, alias=alias, version=body.version, was=was)


@router.delete("/{model_name}/aliases/{alias}", status_code=204)
async def remove_alias(
    model_name: str, alias: AliasPath, seat: LockedSeat, service: ServiceDep, session: DBSession, login: CurrentUser
) -> None:
    """Take an alias away; the version that it pointed to stays."""
    await naming.remove_alias(session, seat.room, model_name, alias, by=login.user, now=service.clock())


@router.delete("/{model_name}/versions/{version}", status_code=204)
async def delete_version(
    model_name: str,
    version: VersionPath,
    seat: LockedSeat,
    service: ServiceDep,
    session: DBSession,
    login: CurrentUser,
    afterwards: Afterwards,
) -> None:
    """Delete a version, for who made the model and for the room's owner; the model, too, if it has no other name."""
    now, limits = service.clock(), service.settings.limits
    gone = await deleting.delete_version(session, seat, model_name, version, by=login.user, now=now, limits=limits)
    if gone is not None:
        afterwards.append(partial(_tell_holders, service, gone))


@router.delete("/digests/{digest}", status_code=204)
async def delete_model(
    digest: Sha256,
    seat: LockedSeat,
    service: ServiceDep,
    session: DBSession,
    login: CurrentUser,
    afterwards: Afterwards,
) -> None:
    """Delete a model that has no name, for who made it and for the room's owner."""
    now, limits = service.clock(), service.settings.limits
    gone = await deleting.delete_unnamed(session, seat, digest, by=login.user, now=now, limits=limits)
    afterwards.append(partial(_tell_holders, service, gone))


async def _tell_holders(service: Service, gone: Deleted) -> None:
    """Let the workers that are here tell of their models again; those that are away do so when they are back."""
    told = Reported(stored=0, unwanted=(gone.digest,))
    with suppress(UnreachableError):  # it is deleted: a worker that cannot be told hears it when it next tells
        for worker_id in gone.worker_ids:
            presence = await service.hub.locate(gone.room_id, worker_id)
            if presence is not None:
                await service.hub.deliver(presence, told, "")


async def _online(service: Service, room_id: str) -> set[str]:
    return {presence.worker_id for presence in await service.hub.workers(room_id)}


def _model(entry: Entry, online: set[str]) -> ModelOut:
    model = entry.model
    return ModelOut(
        **dict(ModelFacts.model_validate_json(model.facts)),
        digest=model.digest,
        title=model.title,
        size=model.size,
        job_id=model.job_id or None,
        user_id=model.user_id or None,
        created_at=model.created_at,
        updated_at=model.updated_at,
        names=[
            NamedOut(
                name=each.name,
                version=each.version,
                aliases=entry.aliases[each.name, each.version],
                created_at=each.created_at,
                created_by=each.created_by_name,
            )
            for each in entry.versions
        ],
        formats=sorted({_format(held.format) for held in entry.holdings}),
        holders=_holders(entry, online),
    )


def _holders(entry: Entry, online: set[str]) -> list[HolderOut]:
    found: dict[str, HolderOut] = {}
    for held in entry.holdings:
        holder = HolderOut(
            worker_id=held.worker_id,
            worker_name=held.worker_name,
            online=held.worker_id in online,
            formats=[],
        )
        formats = found.setdefault(held.worker_id, holder).formats
        formats.append(HeldFormatOut(format=_format(held.format), digest=held.digest, size=held.size))
    return list(found.values())


def _format(text: str) -> ModelFormat:
    return _FORMATS[text]


_FORMATS: dict[str, ModelFormat] = {"sleap-nn": "sleap-nn", "onnx": "onnx", "tensorrt": "tensorrt"}
