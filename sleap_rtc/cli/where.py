"""What the user's options and files say about where a job goes: a session string, or a room."""

from dataclasses import dataclass

from sleap_rtc.cli.choosing import RoomChoice
from sleap_rtc.client.choice import Wish, parse_memory
from sleap_rtc.config.settings import Settings
from sleap_rtc.errors import UsageError


@dataclass(frozen=True)
class WhereTyped:
    """The options as they came.

    Attributes:
        session_typed: whether the session string was typed, and does not come from the environment.
    """

    session_string: str | None
    session_typed: bool
    room: str | None
    auto_select: bool | None
    worker: str | None
    min_gpu_memory: str | None


def find_where(typed: WhereTyped, settings: Settings) -> str | RoomChoice:
    """Decide between session string and room: what is typed, then the environment, then the files.

    Raises:
        UsageError: if both are typed or neither is there, or if the options contradict each other.
    """
    if typed.session_typed and typed.room is not None:
        raise UsageError("Give either --session-string, which names one worker, or --room, not both.")
    room = typed.room
    if room is None and typed.session_string is not None:
        if typed.worker is not None or typed.min_gpu_memory is not None:
            raise UsageError(
                "A session string names its worker already. Leave out --worker and --min-gpu-memory, "
                "or choose a worker of a room with --room."
            )
        return typed.session_string
    room = settings.default_room if room is None else room
    if not room:
        raise UsageError(
            "Where shall this run? Name a room with --room (or once and for all: sleap-rtc room set-default), "
            "or give the line that a worker printed with --session-string."
        )
    auto_select = settings.client.auto_select if typed.auto_select is None else typed.auto_select
    memory = 0 if typed.min_gpu_memory is None else parse_memory(typed.min_gpu_memory)
    return RoomChoice(room, auto_select=bool(auto_select), wish=Wish(typed.worker, memory))
