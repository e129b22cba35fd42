"""What the service's REST side answers. Times are UTC milliseconds; None stands for never."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sleap_rtc.errors import NotFoundError, UsageError
from sleap_rtc.protocol.ids import RoomId, UserId
from sleap_rtc.protocol.labels import Label
from sleap_rtc.protocol.text import printable

RoomRole = Literal["owner", "member"]
TokenState = Literal["active", "expired", "revoked"]
NAMED = 10
"""How many rooms a sentence lists."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Health(_Record):
    """What a service says about itself."""

    service: Literal["sleap-rtc"]
    version: str = Field(max_length=64)
    protocol: str = Field(max_length=64)


class AnonymousRoom(_Record):
    """A room for one session string.

    Attributes:
        expires_at: when the unused session string ends.
    """

    room_id: RoomId
    worker_token: str = Field(max_length=256, repr=False)
    session_token: str = Field(max_length=256, repr=False)
    expires_at: int


class AccessGrant(_Record):
    """A login: who it is, and the token that proves it."""

    access_token: str = Field(max_length=256, repr=False)
    user_id: UserId
    name: Label
    expires_at: int | None


class Me(_Record):
    """Whose access token it is."""

    user_id: UserId
    name: Label


class Room(_Record):
    """A room as one of its members sees it.

    Attributes:
        role: what the asking user is in it.
        members: how many people belong to it.
        workers_online: how many workers are connected to it now.
    """

    room_id: RoomId
    name: Label
    role: RoomRole
    created_at: int
    expires_at: int | None
    members: int
    workers_online: int


class Person(_Record):
    """A member of a room."""

    user_id: UserId
    name: Label
    role: RoomRole


class RoomDetail(Room):
    """A room with the people who belong to it.

    Attributes:
        jobs: how many jobs its workers have told the service of.
        models: how many models.
    """

    people: list[Person]
    jobs: int
    models: int


class NewToken(_Record):
    """A worker token, shown this once."""

    token_id: str = Field(max_length=80)
    token: str = Field(max_length=256, repr=False)
    name: Label
    expires_at: int | None


class TokenInfo(_Record):
    """A worker token in a list.

    Attributes:
        display: its first characters, to know it by.
        created_by: the name of who made it.
        state: whether it can be used.
    """

    token_id: str = Field(max_length=80)
    name: Label
    display: str = Field(max_length=16)
    created_at: int
    created_by: Label
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None
    state: TokenState


def find_room(rooms: Sequence[Room], text: str) -> Room:
    """The room a user means by an id or a name.

    Args:
        rooms: those the user belongs to.
        text: a room's id, or its name if only one has it.

    Raises:
        NotFoundError: if none is meant; the sentence lists what there is.
        UsageError: if several have that name; the sentence lists their ids.
    """
    wanted = text.strip()
    for room in rooms:
        if room.room_id == wanted:
            return room
    named = [room for room in rooms if room.name == wanted] or [
        room for room in rooms if room.name.casefold() == wanted.casefold()
    ]
    shown = " ".join(printable(wanted, limit=80).split())
    if len(named) == 1:
        return named[0]
    if named:
        raise UsageError(f"Several of your rooms are called '{shown}': {_listed(named)}. Give the id of one.")
    if not rooms:
        raise NotFoundError(
            f"You belong to no room, so there is none called '{shown}'. Make one: sleap-rtc room create --name '…'"
        )
    raise NotFoundError(f"You belong to no room with the id or name '{shown}'. Your rooms: {_listed(rooms)}.")


def _listed(rooms: Sequence[Room]) -> str:
    names = [f"'{room.name}' ({room.room_id})" for room in rooms[:NAMED]]
    left = len(rooms) - len(names)
    return ", ".join(names) + (f" and {left} more" if left > 0 else "")
