"""What the commands about a room's secret share: the room that is meant, and what is said of it."""

from dataclasses import dataclass

from sleap_rtc.cli.times import format_time
from sleap_rtc.config.room_secrets import GRACE_MS, Kept, RoomSecretStore
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.settings import Settings
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.ids import is_id

NO_WAY_BACK = "From now on this machine makes no link in the room without it."


@dataclass(frozen=True)
class MeantRoom:
    """A room by its id, and its name where that was asked."""

    room_id: str
    name: str = ""

    def __str__(self) -> str:
        return f"'{self.name}' ({self.room_id})" if self.name else self.room_id


def find_secret_room(settings: Settings, typed: str) -> MeantRoom:
    """The room that is meant; of an id nothing is asked of the service.

    Raises:
        AuthenticationError: if this machine knows another room with a secret by that name.
        SleapRTCError: as `meant_room` does.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.running import run_async

    if is_id("room", typed.strip()):
        return MeantRoom(typed.strip())
    found = run_async(meant_room(logged_in_api(settings), settings, typed))
    SecretLookup(settings).check_name(settings.server, typed, found.room_id)
    return MeantRoom(found.room_id, found.name)


def place_of(kept: Kept, store: RoomSecretStore) -> str:
    """Say where a secret is kept."""
    return "the keyring of this machine" if kept.in_keyring else str(store.path)


def fate_of_old(kept: Kept) -> str:
    """Say how long the secret before this one is good on this machine; empty if there was none."""
    if kept.previous:
        return f"The one before it is good here until {format_time(kept.since + GRACE_MS)}."
    return ""


def standing(server: str, room: str) -> tuple[dict[str, object], str]:
    """What this machine has of a room's secret, for scripts and for people; nothing of the secret itself.

    Args:
        server: the service's address.
        room: the room's id.
    """
    store = RoomSecretStore()
    try:
        kept = store.kept(server, room)
        has_it = bool(store.secrets(server, room))
    except SleapRTCError as error:
        return {"known": True, "here": False, "since": None}, f"Its secret cannot be used here: {error.sentence}"
    if kept is None:
        return {"known": False, "here": False, "since": None}, "This machine knows of no secret of it."
    if not has_it:
        return {"known": True, "here": False, "since": None}, "It has a secret, which is not kept on this machine."
    words = f"Its secret is kept on this machine since {format_time(kept.since)}, in {place_of(kept, store)}."
    return {"known": True, "here": True, "since": kept.since}, f"{words} {fate_of_old(kept)}".strip()
