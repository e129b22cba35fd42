"""What the service's REST side answers. Times are UTC milliseconds; None stands for never."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sleap_rtc.protocol.ids import RoomId, UserId
from sleap_rtc.protocol.labels import Label

RoomRole = Literal["owner", "member"]
TokenState = Literal["active", "expired", "revoked"]
InviteState = Literal["open", "used", "expired", "revoked"]


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
    """A login: who it is, and the tokens that prove it.

    Attributes:
        expires_in: the seconds for which the access token is good.
        refresh_token: what is exchanged for the next pair, once.
        login_expires_at: when the login ends unless it is used before.
    """

    access_token: str = Field(max_length=256, repr=False)
    expires_in: int = Field(ge=0)
    refresh_token: str = Field(max_length=256, repr=False)
    user_id: UserId
    name: Label
    login_id: str = Field(max_length=80)
    login_expires_at: int


class DeviceLogin(_Record):
    """A login that waits for somebody to type its code in a browser (RFC 8628 §3.2).

    Attributes:
        device_code: what the command line asks with.
        verification_uri: the page where the code is typed.
        expires_in: the seconds for which it waits.
        interval: the seconds to leave between two questions.
    """

    device_code: str = Field(max_length=256, repr=False)
    user_code: str = Field(pattern=r"^[A-Z0-9-]{4,32}$")
    verification_uri: str = Field(max_length=2048)
    expires_in: int = Field(gt=0)
    interval: int = Field(default=5, ge=1, le=300)


class LoginMethods(_Record):
    """The ways in which a service lets people log in.

    Attributes:
        dev: by name alone.
        local: with an account of its own.
        providers: who else vouches for them.
    """

    dev: bool
    local: bool
    providers: list[dict[str, str]]

    @property
    def none(self) -> bool:
        """Whether nobody can log in."""
        return not self.dev and not self.local and not self.providers

    @property
    def by_name_only(self) -> bool:
        """Whether a name alone is the one way in."""
        return self.dev and not self.local and not self.providers


class LoginInfo(_Record):
    """A login in a list.

    Attributes:
        kind: ``device`` for a command line, ``browser``, or ``dev`` for a login by name alone.
        device: what the device called itself.
        address: where it logged in from.
        last_used_at: when it was last seen, to the hour.
        expires_at: when it ends unless it is used before.
        current: whether it is the one that asks.
    """

    login_id: str = Field(max_length=80)
    kind: str = Field(max_length=16)
    device: Label
    address: Label
    created_at: int
    last_used_at: int | None
    expires_at: int
    current: bool


class Me(_Record):
    """Whose access token it is."""

    user_id: UserId
    name: Label


class Room(_Record):
    """A room as one of its members sees it.

    Attributes:
        role: what the asking user is in it.
        expires_soon: whether it ends within a day.
        members: how many people belong to it.
        workers_online: how many workers are connected to it now.
    """

    room_id: RoomId
    name: Label
    role: RoomRole
    created_at: int
    expires_at: int | None
    expires_soon: bool = False
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


class ChangedRoom(_Record):
    """What a room is called now, and when it ends."""

    room_id: RoomId
    name: Label
    expires_at: int | None


class JoinedRoom(ChangedRoom):
    """The room that an invite led to.

    Attributes:
        role: what the user is there.
        joined: whether the invite did it; false for who belonged to the room already.
    """

    role: RoomRole
    joined: bool


class Member(Person):
    """A member of a room, and since when."""

    joined_at: int


class Removal(_Record):
    """What a removal leaves to do.

    Attributes:
        invites_revoked: how many open invites ended with it.
        tokens_left: how many worker tokens that the removed member made can be used still.
    """

    invites_revoked: int
    tokens_left: int


class NewInvite(_Record):
    """An invite in its two forms, shown this once.

    Attributes:
        code: what people type, as ``XXXXX-XXXXX``.
        link_token: the same for a link.
        uses: how many may join with it.
    """

    invite_id: str = Field(max_length=80)
    code: str = Field(max_length=16, repr=False)
    link_token: str = Field(max_length=256, repr=False)
    expires_at: int
    uses: int


class InviteInfo(_Record):
    """An invite in a list.

    Attributes:
        display: its first characters, to know it by.
        created_by: the name of who made it.
        uses: how many may join with it.
        used: how many have.
    """

    invite_id: str = Field(max_length=80)
    display: str = Field(max_length=16)
    created_by: Label
    created_at: int
    expires_at: int
    uses: int
    used: int
    state: InviteState


class LogEvent(_Record):
    """A line of a room's log; names are those of the time.

    Attributes:
        action: what was done, as words with ``_`` between.
        subject: to whom or what.
        detail: what else there is to say.
    """

    event_id: int
    at: int
    actor_id: str = Field(max_length=80)
    actor: Label
    action: Label
    subject: str = Field(max_length=160)
    detail: str = Field(max_length=512)


class LogPage(_Record):
    """Lines of a room's log, the newest first, and whether older ones follow."""

    events: list[LogEvent]
    more: bool


class NewToken(_Record):
    """A worker token, shown this once."""

    token_id: str = Field(max_length=80)
    token: str = Field(max_length=256, repr=False)
    name: Label
    expires_at: int | None


class RotatedToken(NewToken):
    """A worker token in the place of an older one, shown this once.

    Attributes:
        old_ends_at: when the older one ends.
    """

    old_ends_at: int


class TokenInfo(_Record):
    """A worker token in a list.

    Attributes:
        display: its first characters, to know it by.
        created_by: the name of who made it.
        expires_soon: whether it ends within a day.
        replaced_at: when a newer one took its place.
        state: whether it can be used.
    """

    token_id: str = Field(max_length=80)
    name: Label
    display: str = Field(max_length=16)
    created_at: int
    created_by: Label
    expires_at: int | None
    expires_soon: bool = False
    last_used_at: int | None
    replaced_at: int | None = None
    revoked_at: int | None
    state: TokenState
