"""Requests about what workers told the service."""

from collections.abc import Iterable

from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.signaling.requests import Answer, Query, Requests, of_room
from sleap_rtc.signaling.summaries import JobPage, RememberedJob

PAGE = 200
"""Jobs or models asked for at once."""
MOST_LISTED = 10_000
"""Jobs or models after which a list is not asked for further: a service that never ends one is none of ours."""


class SummaryRequests(Requests):
    """Jobs as their workers last told of them."""

    async def jobs(self, room_id: str, *, states: Iterable[JobState] = ()) -> list[RememberedJob]:
        """The jobs of a room as their workers last told of them, online or not, the newest first.

        Args:
            room_id: the room.
            states: only those in one of these; all if empty.

        Raises:
            SleapRTCError: as `room` does.
        """
        query: Query = [("state", str(state)) for state in states]
        found: list[RememberedJob] = []
        page = await self._page(room_id, "jobs", JobPage, query)
        while page.next is not None and page.jobs and len(found) < MOST_LISTED:
            found += page.jobs
            page = await self._page(room_id, "jobs", JobPage, [*query, ("before", page.next)])
        return [*found, *page.jobs]

    async def _page(self, room_id: str, what: str, answer: type[Answer], query: Query) -> Answer:
        return await self._request("GET", f"{of_room(room_id)}/{what}", answer, query=[*query, ("limit", PAGE)])
