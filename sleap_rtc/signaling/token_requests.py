"""Requests about worker tokens."""

from sleap_rtc.protocol.ids import is_token_id
from sleap_rtc.signaling.records import NewToken, RotatedToken, TokenInfo
from sleap_rtc.signaling.requests import Requests, no_id, of_room


class TokenRequests(Requests):
    """Worker tokens: made, listed, replaced, revoked."""

    async def create_token(self, room_id: str, name: str, expires_days: int | None) -> NewToken:
        """Make a worker token of a room.

        Args:
            room_id: the room it opens.
            name: what its workers are called unless they say otherwise.
            expires_days: when it expires; None never.

        Raises:
            ForbiddenError: if this user does not own the room.
            UsageError: if the name or the days are refused.
            ConflictError: if the room has expired, or has too many tokens.
            SleapRTCError: as `room` does.
        """
        body = {"name": name, "expires_days": expires_days}
        return await self._request("POST", of_room(room_id) + "/tokens", NewToken, body)

    async def tokens(self, room_id: str) -> list[TokenInfo]:
        """The worker tokens of a room, the oldest first.

        Raises:
            ForbiddenError: if this user does not own the room.
            SleapRTCError: as `room` does.
        """
        return await self._request("GET", of_room(room_id) + "/tokens", list[TokenInfo])

    async def revoke_token(self, room_id: str, token_id: str) -> None:
        """End a worker token; its workers are sent away at once.

        Raises:
            ForbiddenError: if this user does not own the room.
            NotFoundError: if the room has no such token.
            SleapRTCError: as `room` does.
        """
        await self._request("DELETE", _of_token(room_id, token_id), type(None))

    async def rotate_token(self, room_id: str, token_id: str, grace_hours: int) -> RotatedToken:
        """Make a new worker token of the same name and lifetime in the place of one.

        Args:
            room_id: the room of both.
            token_id: the old one.
            grace_hours: how long the old one still works; 0 ends it at once.

        Raises:
            ForbiddenError: if this user does not own the room.
            NotFoundError: if the room has no such token.
            ConflictError: if it has ended or was replaced already, or the room has too many.
            SleapRTCError: as `room` does.
        """
        path = _of_token(room_id, token_id) + "/rotate"
        return await self._request("POST", path, RotatedToken, {"grace_hours": grace_hours})


def _of_token(room_id: str, token_id: str) -> str:
    if not is_token_id(token_id):
        raise no_id(token_id, "token", "t_")
    return f"{of_room(room_id)}/tokens/{token_id}"
