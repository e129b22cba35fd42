"""``local/``: what the page asks of this machine alone. None of it goes to the service.

The page gets keys that are derived from a room's secret, which open links in that room and nothing else; the secret
itself only when it has just been made, to be shown once.
"""

import os
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from signaling_server.http import StrictRoute
from sleap_rtc.cli.room.secret_words import NO_WAY_BACK, fate_of_old, place_of, standing
from sleap_rtc.client.acquaintance import Acquaintance, Encounter
from sleap_rtc.config.known_workers import KnownWorkers
from sleap_rtc.config.secret_lookup import VARIABLE, SecretLookup
from sleap_rtc.config.servers import server_words
from sleap_rtc.config.settings import Settings
from sleap_rtc.errors import AuthenticationError, ProtocolError
from sleap_rtc.protocol.ids import check_id, worker_id_from_key

T = TypeVar("T")


def _kept_nowhere(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(prefix="/local", route_class=StrictRoute, dependencies=[Depends(_kept_nowhere)])


class Keys(BaseModel):
    """The keys of one secret's proofs, in hex, and its public name."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)
    epoch: int
    id: str
    client_key: str = Field(alias="clientKey", repr=False)
    worker_key: str = Field(alias="workerKey", repr=False)


class Standing(BaseModel):
    """What this machine has of a room's secret, and nothing of the secret itself.

    Attributes:
        known: whether the room is known to have one.
        here: whether it can be used here.
        since: when it came here, in UTC milliseconds.
        ids: the public names of those that hold, the newest first.
        words: all of it as a sentence.
        warning: what stands in its way; empty if nothing does.
    """

    known: bool
    here: bool
    since: int | None
    ids: list[str]
    words: str
    warning: str


class MakeSecret(BaseModel):
    """Whether the secret before this one ends here now, and not in a day; and what the room is called."""

    model_config = ConfigDict(extra="forbid")
    end_old: bool = False
    name: str = Field(default="", max_length=256)


class MadeSecret(BaseModel):
    """A new secret: shown this once.

    Attributes:
        id: its public name.
        place: where it is kept.
        old: how long the one before it is good here; empty if there was none, or it has ended.
        command: what members and workers type, who then paste it.
        export: the lines for a worker that a script starts.
        note: what is different from now on.
    """

    secret: str = Field(repr=False)
    epoch: int
    id: str
    place: str
    old: str
    command: str
    export: list[str]
    note: str


class Pin(BaseModel):
    """The key of a worker as it was met before, in hex; null for one that was not."""

    key: str | None


class MetWorker(BaseModel):
    """A worker that has proven that it has this key, and what its room calls it."""

    model_config = ConfigDict(extra="forbid")
    room: str
    name: str = Field(max_length=256)
    key: str = Field(pattern=r"^[0-9a-f]{64}$")


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _lookup(settings: Annotated[Settings, Depends(_settings)]) -> SecretLookup:
    return SecretLookup(settings, os.environ.get(VARIABLE) or None)


SettingsDep = Annotated[Settings, Depends(_settings)]
LookupDep = Annotated[SecretLookup, Depends(_lookup)]


@router.get("/secrets/{room}", response_model=list[Keys])
def read_keys(
    room: str, settings: SettingsDep, lookup: LookupDep, called: Annotated[list[str] | None, Query(alias="name")] = None
) -> list[Keys] | JSONResponse:
    """The keys for links in a room, those of its newest secret first; none if the room has no secret.

    Refused if the room has none, and the page calls it by a `name` of one that has.
    """

    def found() -> list[Keys]:
        made = []
        for secret in lookup.secrets_shown(settings.server, called or (), room):
            name = secret.name_in(room)
            client, worker = (secret.proof_key(room, role).hex() for role in ("client", "worker"))
            made.append(Keys(epoch=name.epoch, id=name.id, client_key=client, worker_key=worker))
        return made

    return _told(found)


@router.get("/secrets/{room}/standing")
def read_standing(room: str, settings: SettingsDep, lookup: LookupDep) -> Standing:
    """What this machine has of a room's secret."""
    check_id("room", room)
    found, words = standing(settings.server, room)
    ids = [secret.name_in(room).id for secret in lookup.store.secrets(settings.server, room)] if found["here"] else []
    warning = f"{VARIABLE} is set, and holds alone where it is set." if os.environ.get(VARIABLE) else ""
    return Standing.model_validate(found | {"ids": ids, "words": words, "warning": warning})


@router.post("/secrets/{room}", status_code=201)
def make_secret(room: str, body: MakeSecret, settings: SettingsDep, lookup: LookupDep) -> MadeSecret:
    """Make a secret for a room, newer than all that this machine knows of it, and keep it here."""
    check_id("room", room)
    secret, kept = lookup.make_newer(settings.server, room, end_old=body.end_old, name=body.name.strip())
    words = server_words(settings.server)
    return MadeSecret(
        secret=secret.text,
        epoch=secret.epoch,
        id=secret.name_in(room).id,
        place=place_of(kept, lookup.store),
        old=fate_of_old(kept),
        command=f"sleap-rtc room set-secret{words} {room}{' --end-old' if body.end_old else ''}",
        export=[f"read -rs {VARIABLE} && export {VARIABLE}", f"sleap-rtc worker{words}"],
        note=NO_WAY_BACK,
    )


@router.get("/workers/{worker}", response_model=Pin)
def read_pin(
    worker: str, room: Annotated[str, Query()], name: Annotated[str, Query(max_length=256)], settings: SettingsDep
) -> Pin | JSONResponse:
    """The key of a worker that is about to be dialled; refused if its name is known as another worker's."""
    known = _acquaintance(settings, room, name, worker)

    def found() -> Pin:
        key = known.check()
        return Pin(key=None if key is None else key.hex())

    return _told(found)


@router.put("/workers/{worker}", response_model=Pin)
def keep_pin(worker: str, body: MetWorker, settings: SettingsDep) -> Pin | JSONResponse:
    """Remember a worker that has proven its key; refused if its name is known as another worker's."""
    key = bytes.fromhex(body.key)
    if worker_id_from_key(key) != worker:
        raise ProtocolError("That is not the key of this worker.")
    known = _acquaintance(settings, body.room, body.name, worker)

    def kept() -> Pin:
        known.remember(key)
        return Pin(key=body.key)

    return _told(kept)


def _acquaintance(settings: Settings, room: str, name: str, worker: str) -> Acquaintance:
    encounter = Encounter(settings.server, check_id("room", room), name, check_id("worker", worker))
    return Acquaintance(encounter, KnownWorkers())


def _told(work: Callable[[], T]) -> T | JSONResponse:
    # 401 would tell the page that the login has ended, which this is not about
    try:
        return work()
    except AuthenticationError as error:
        return JSONResponse({"error": {"code": error.code, "sentence": error.sentence}}, 403)
