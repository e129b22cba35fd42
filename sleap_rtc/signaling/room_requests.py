"""Requests about rooms."""

from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.signaling.address import API
from sleap_rtc.signaling.records import ChangedRoom, LogPage, Room, RoomDetail
from sleap_rtc.signaling.requests import Query, Requests, of_room


class RoomRequests(Requests):
    """Rooms: made, shown, changed, deleted."""

    async def rooms(self) -> list[Room]:
        """The rooms this user belongs to, expired ones included, the oldest first.

        Raises:
            AuthenticationError: if the service does not accept the access token.
            UnreachableError: if the service cannot be reached.
        """
        return await self._request("GET", API + "/rooms", list[Room])

    async def create_room(self, name: str, expires_days: int | None) -> Room:
        """Make a room and own it.

        Args:
            name: what to call it.
            expires_days: when it expires; None never.

        Raises:
            UsageError: if the name or the days are refused.
            ConflictError: if this user owns too many rooms.
            AuthenticationError: if the service does not accept the access token.
            UnreachableError: if the service cannot be reached.
        """
        return await self._request("POST", API + "/rooms", Room, {"name": name, "expires_days": expires_days})

    async def room(self, room_id: str) -> RoomDetail:
        """One room and its people.

        Raises:
            NotFoundError: if there is none that this user belongs to.
            AuthenticationError: if the service does not accept the access token.
            UnreachableError: if the service cannot be reached.
        """
        return await self._request("GET", of_room(room_id), RoomDetail)

    async def delete_room(self, room_id: str) -> None:
        """Delete a room with its tokens; who is connected to it is sent away.

        Raises:
            ForbiddenError: if this user does not own it.
            SleapRTCError: as `room` does.
        """
        await self._request("DELETE", of_room(room_id), type(None))

    async def rename_room(self, room_id: str, name: str) -> ChangedRoom:
        """Call a room otherwise.

        Raises:
            ForbiddenError: if this user does not own it.
            UsageError: if the name is refused.
            SleapRTCError: as `room` does.
        """
        return await self._request("PATCH", of_room(room_id), ChangedRoom, {"name": name})

    async def extend_room(self, room_id: str, expires_days: int | None) -> ChangedRoom:
        """Let a room live longer, also one that expired within the last week.

        Args:
            room_id: the room.
            expires_days: when it expires, counted from now; None never.

        Raises:
            ForbiddenError: if this user does not own it.
            UsageError: if the service allows fewer days.
            ConflictError: if it lives that long already.
            SleapRTCError: as `room` does.
        """
        return await self._request("PATCH", of_room(room_id), ChangedRoom, {"expires_days": expires_days})

    async def log(self, room_id: str, *, before: int | None = None, limit: int = 50) -> LogPage:
        """What was done in a room, the newest first.

        Args:
            room_id: the room.
            before: only what is older than this line.
            limit: lines at most: 1 to 200.

        Raises:
            ForbiddenError: if this user does not own it.
            SleapRTCError: as `room` does.
        """
        query: Query = [("limit", limit)] if before is None else [("limit", limit), ("before", before)]
        return await self._request("GET", of_room(room_id) + "/log", LogPage, query=query)

    async def workers(self, room_id: str) -> list[WorkerPresence]:
        """The workers connected to a room, ordered by id.

        Raises:
            ConflictError: if the room has expired.
            SleapRTCError: as `room` does.
        """
        return await self._request("GET", of_room(room_id) + "/workers", list[WorkerPresence])
