"""Requests about who belongs to a room."""

from sleap_rtc.protocol.ids import is_id
from sleap_rtc.signaling.records import Member, Removal
from sleap_rtc.signaling.requests import Requests, no_id, of_room


class MemberRequests(Requests):
    """Members: listed, removed, gone by themselves, made owners."""

    async def members(self, room_id: str) -> list[Member]:
        """Who belongs to a room, the oldest membership first.

        Raises:
            SleapRTCError: as `room` does.
        """
        return await self._request("GET", of_room(room_id) + "/members", list[Member])

    async def leave_room(self, room_id: str) -> None:
        """End this user's membership; their connections to the room are closed.

        Raises:
            ConflictError: if they own it.
            SleapRTCError: as `room` does.
        """
        await self._request("DELETE", of_room(room_id) + "/members/me", type(None))

    async def remove_member(self, room_id: str, user_id: str) -> Removal:
        """End somebody's membership: they are sent away at once, and open invites end.

        Raises:
            ForbiddenError: if this user does not own the room.
            NotFoundError: if the room has no such member.
            ConflictError: if that is this user.
            SleapRTCError: as `room` does.
        """
        if not is_id("user", user_id):
            raise no_id(user_id, "user", "u_")
        return await self._request("DELETE", f"{of_room(room_id)}/members/{user_id}", Removal)

    async def transfer_room(self, room_id: str, user_id: str) -> None:
        """Make a member the owner; this user is a member from then on.

        Raises:
            ForbiddenError: if this user does not own the room.
            NotFoundError: if the room has no such member.
            ConflictError: if they own it already, or too many others.
            SleapRTCError: as `room` does.
        """
        await self._request("POST", of_room(room_id) + "/transfer", type(None), {"user_id": user_id})
