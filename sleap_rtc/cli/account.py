"""What the commands of a logged-in user share: the service's API, and the room that is meant."""

from sleap_rtc.config.settings import Settings
from sleap_rtc.errors import UsageError
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import Member, Room, ServiceAPI, find_member, find_room


def logged_in_api(settings: Settings) -> ServiceAPI:
    """The service's API, with the user's login.

    Raises:
        AuthenticationError: if nobody is logged in there.
    """
    return ServiceAPI(settings.server, Account(settings.server))


async def meant_room(api: ServiceAPI, settings: Settings, typed: str | None) -> Room:
    """The room a user means.

    Args:
        api: the service's.
        settings: where the default room stands.
        typed: an id or a name; None for the default room.

    Raises:
        UsageError: if none was typed and there is no default, or the name belongs to several.
        NotFoundError: if the user belongs to no such room.
    """
    text = typed if typed is not None else settings.default_room
    if not text:
        raise UsageError(
            "Which room? Give its id or name, or choose a default one: sleap-rtc room set-default ROOM. "
            "Your rooms: sleap-rtc room list"
        )
    return find_room(await api.rooms(), text)


async def meant_member(api: ServiceAPI, settings: Settings, room: str, member: str) -> tuple[Room, Member]:
    """The room and the member of it that a user means, each by an id or a name.

    Raises:
        UsageError: if a name belongs to several.
        NotFoundError: if there is no such room of the user's, or no such member.
    """
    found = await meant_room(api, settings, room)
    return found, find_member(await api.members(found.room_id), member, found.name)


def forget_default_room(settings: Settings, room: Room) -> None:
    """Let a room that is gone be the default room no longer, and say so."""
    from sleap_rtc.cli.output import note
    from sleap_rtc.config.editing import unset_value

    if settings.default_room in (room.room_id, room.name) and unset_value("default_room", settings.default_room):
        note("It was your default room; now there is none.")


def forget_workers(settings: Settings, room: Room) -> None:
    """Forget the workers that this machine has met in a room that is gone."""
    from sleap_rtc.config.known_workers import KnownWorkers

    KnownWorkers().forget(lambda each: (each.server, each.room) == (settings.server, room.room_id))


def warn_of_room(room: Room, now: int) -> None:
    """Warn the owner of a room that expires within a day."""
    from sleap_rtc.cli.output import warn
    from sleap_rtc.cli.times import format_expiry

    if room.expires_soon and room.role == "owner":
        until = format_expiry(room.expires_at, now)
        warn(f"Of the room '{room.name}': {until}. Let it live longer: sleap-rtc room extend {room.room_id}")
