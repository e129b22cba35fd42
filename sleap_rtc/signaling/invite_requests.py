"""Requests about invites."""

from sleap_rtc.protocol.ids import is_invite_id
from sleap_rtc.signaling.address import API
from sleap_rtc.signaling.records import InviteInfo, JoinedRoom, NewInvite
from sleap_rtc.signaling.requests import Requests, no_id, of_room


class InviteRequests(Requests):
    """Invites: made, listed, revoked, redeemed."""

    async def create_invite(self, room_id: str, *, uses: int = 1, expires_hours: int = 24) -> NewInvite:
        """Make an invite to a room.

        Args:
            room_id: where it leads.
            uses: how many people may join with it: 1 to 100.
            expires_hours: how long it is good: 1 to 720.

        Raises:
            ForbiddenError: if this user does not own the room.
            UsageError: if the uses or the hours are refused.
            ConflictError: if the room has expired, or has too many open invites.
            SleapRTCError: as `room` does.
        """
        body = {"uses": uses, "expires_hours": expires_hours}
        return await self._request("POST", of_room(room_id) + "/invites", NewInvite, body)

    async def invites(self, room_id: str) -> list[InviteInfo]:
        """The invites of a room, the oldest first.

        Raises:
            ForbiddenError: if this user does not own the room.
            SleapRTCError: as `room` does.
        """
        return await self._request("GET", of_room(room_id) + "/invites", list[InviteInfo])

    async def revoke_invite(self, room_id: str, invite_id: str) -> None:
        """End an invite; who has joined with it stays.

        Raises:
            ForbiddenError: if this user does not own the room.
            NotFoundError: if the room has no such invite.
            SleapRTCError: as `room` does.
        """
        if not is_invite_id(invite_id):
            raise no_id(invite_id, "invite", "i_")
        await self._request("DELETE", f"{of_room(room_id)}/invites/{invite_id}", type(None))

    async def redeem_invite(self, code: str) -> JoinedRoom:
        """Become a member of the room that an invite leads to.

        Args:
            code: as somebody typed it, or the token of a link.

        Raises:
            NotFoundError: if it lets nobody in, whatever the reason.
            BusyError: if too many wrong ones were typed.
            ConflictError: if the room is full.
            AuthenticationError: if the service does not accept the access token.
            UnreachableError: if the service cannot be reached.
        """
        return await self._request("POST", API + "/invites/redeem", JoinedRoom, {"code": code})
