"""Which room or member a user means by what they typed: an id, or a name that only one has."""

from collections.abc import Sequence
from typing import TypeVar

from sleap_rtc.errors import NotFoundError, UsageError
from sleap_rtc.protocol.text import printable
from sleap_rtc.signaling.records import Member, Room

NAMED = 10
"""How many rooms or members a sentence lists."""

_Thing = TypeVar("_Thing")


def find_room(rooms: Sequence[Room], text: str) -> Room:
    """The room a user means by an id or a name.

    Args:
        rooms: those the user belongs to.
        text: a room's id, or its name if only one has it.

    Raises:
        NotFoundError: if none is meant; the sentence lists what there is.
        UsageError: if several have that name; the sentence lists their ids.
    """
    meant = _meant([(room.room_id, room.name, room) for room in rooms], text)
    if len(meant) == 1:
        return meant[0]
    shown = _shown(text)
    if meant:
        raise UsageError(f"Several of your rooms are called '{shown}': {_rooms(meant)}. Give the id of one.")
    if not rooms:
        raise NotFoundError(
            f"You belong to no room, so there is none called '{shown}'. Make one: sleap-rtc room create --name '…'"
        )
    raise NotFoundError(f"You belong to no room with the id or name '{shown}'. Your rooms: {_rooms(rooms)}.")


def find_member(members: Sequence[Member], text: str, room: str) -> Member:
    """The member a user means by an id or a name.

    Args:
        members: those of the room.
        text: a user's id, or their name if only one has it.
        room: what the room is called.

    Raises:
        NotFoundError: if none is meant; the sentence lists who there is.
        UsageError: if several have that name; the sentence lists their ids.
    """
    meant = _meant([(member.user_id, member.name, member) for member in members], text)
    if len(meant) == 1:
        return meant[0]
    shown = _shown(text)
    if meant:
        raise UsageError(
            f"Several members of the room '{room}' are called '{shown}': {_members(meant)}. Give the id of one."
        )
    raise NotFoundError(
        f"The room '{room}' has no member with the id or name '{shown}'. Its members: {_members(members)}."
    )


def _meant(known: Sequence[tuple[str, str, _Thing]], text: str) -> list[_Thing]:
    """Of triples (id, name, thing): the thing with that id, else those with that name, else those with nearly that."""
    wanted = text.strip()
    for matches in (
        [thing for id_, _, thing in known if id_ == wanted],
        [thing for _, name, thing in known if name == wanted],
    ):
        if matches:
            return matches
    return [thing for _, name, thing in known if name.casefold() == wanted.casefold()]


def _shown(text: str) -> str:
    return " ".join(printable(text, limit=80).split())


def _rooms(rooms: Sequence[Room]) -> str:
    return _listed([f"'{room.name}' ({room.room_id})" for room in rooms])


def _members(members: Sequence[Member]) -> str:
    return _listed([f"'{member.name}' ({member.user_id})" for member in members])


def _listed(names: Sequence[str]) -> str:
    left = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {left} more" if left > 0 else "")
