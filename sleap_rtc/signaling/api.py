"""The service's REST side."""

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import NotFoundError, ProtocolError, UnreachableError
from sleap_rtc.protocol.codec import parse_json
from sleap_rtc.protocol.ids import is_id, is_token_id
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.protocol.text import printable
from sleap_rtc.signaling.address import API, service_address, tls_context
from sleap_rtc.signaling.policy import error_in, not_ours, unreachable
from sleap_rtc.signaling.records import (
    AccessGrant,
    AnonymousRoom,
    Health,
    Me,
    NewToken,
    Person,
    Room,
    RoomDetail,
    TokenInfo,
    find_room,
)
from sleap_rtc.signaling.summaries import JobPage, ModelPage, RememberedJob, RememberedModel

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "AccessGrant",
    "AnonymousRoom",
    "Health",
    "Me",
    "NewToken",
    "Person",
    "RememberedJob",
    "RememberedModel",
    "Room",
    "RoomDetail",
    "ServiceAPI",
    "TokenInfo",
    "find_room",
]

_Answer = TypeVar("_Answer")
_Query = list[tuple[str, str | int | float | bool | None]]

PAGE = 200
"""Jobs or models asked for at once."""
MOST_LISTED = 10_000
"""Jobs or models after which a list is not asked for further: a service that never ends one is none of ours."""

NO_CONTENT = 204
MAX_ANSWER = 4 * 1024 * 1024
"""Largest answer read, in bytes: lists of workers and tokens can be long."""


class ServiceAPI:
    """Requests to one service.

    Args:
        server: its address.
        token: the credential to send with every request, if any.
        timeouts: how long to wait.
    """

    def __init__(self, server: str, token: str | None = None, *, timeouts: Timeouts | None = None) -> None:
        self._address = service_address(server)
        self._token = token
        self._timeouts = timeouts or Timeouts()

    async def health(self) -> Health:
        """Ask whether a sleap-rtc service is there.

        Raises:
            UnreachableError: if there is none.
        """
        return await self._request("GET", "/health", Health)

    async def create_anonymous_room(self, name: str = "") -> AnonymousRoom:
        """Open a room for a session string.

        Args:
            name: what to call the room, for example this machine's name.

        Raises:
            UsageError: if the address is not encrypted, as the answer holds credentials.
            AuthenticationError: if this service opens no rooms for strangers.
            BusyError: if this address opened too many.
            UnreachableError: if the service cannot be reached.
        """
        self._address.check_private()
        return await self._request("POST", API + "/rooms/anonymous", AnonymousRoom, {"name": name})

    async def login_dev(self, name: str) -> AccessGrant:
        """Log in by name alone, where the service was started with ``--dev``.

        Raises:
            NotFoundError: if this service has no such login.
            UsageError: if the name has a wrong form, or the address is not encrypted.
            UnreachableError: if the service cannot be reached.
        """
        self._address.check_private()
        return await self._request("POST", API + "/auth/dev", AccessGrant, {"name": name})

    async def logout(self) -> None:
        """End the access token this was made with.

        Raises:
            AuthenticationError: if it has ended already.
            UnreachableError: if the service cannot be reached.
        """
        await self._request("POST", API + "/auth/logout", type(None))

    async def me(self) -> Me:
        """Ask whose access token this was made with.

        Raises:
            AuthenticationError: if the service does not accept it.
            UnreachableError: if the service cannot be reached.
        """
        return await self._request("GET", API + "/me", Me)

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
        return await self._request("GET", _of_room(room_id), RoomDetail)

    async def delete_room(self, room_id: str) -> None:
        """Delete a room with its tokens; who is connected to it is sent away.

        Raises:
            ForbiddenError: if this user does not own it.
            SleapRTCError: as `room` does.
        """
        await self._request("DELETE", _of_room(room_id), type(None))

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
        return await self._request("POST", _of_room(room_id) + "/tokens", NewToken, body)

    async def tokens(self, room_id: str) -> list[TokenInfo]:
        """The worker tokens of a room, the oldest first.

        Raises:
            ForbiddenError: if this user does not own the room.
            SleapRTCError: as `room` does.
        """
        return await self._request("GET", _of_room(room_id) + "/tokens", list[TokenInfo])

    async def revoke_token(self, room_id: str, token_id: str) -> None:
        """End a worker token; its workers are sent away at once.

        Raises:
            ForbiddenError: if this user does not own the room.
            NotFoundError: if the room has no such token.
            SleapRTCError: as `room` does.
        """
        if not is_token_id(token_id):
            raise NotFoundError(f"'{printable(token_id, limit=40)}' is no token's id: it begins with t_.")
        await self._request("DELETE", f"{_of_room(room_id)}/tokens/{token_id}", type(None))

    async def workers(self, room_id: str) -> list[WorkerPresence]:
        """The workers connected to a room, ordered by id.

        Raises:
            ConflictError: if the room has expired.
            SleapRTCError: as `room` does.
        """
        return await self._request("GET", _of_room(room_id) + "/workers", list[WorkerPresence])

    async def jobs(self, room_id: str, *, states: Iterable[JobState] = ()) -> list[RememberedJob]:
        """The jobs of a room as their workers last told of them, online or not, the newest first.

        Args:
            room_id: the room.
            states: only those in one of these; all if empty.

        Raises:
            SleapRTCError: as `room` does.
        """
        query: _Query = [("state", str(state)) for state in states]
        found: list[RememberedJob] = []
        page = await self._page(room_id, "jobs", JobPage, query)
        while page.next is not None and page.jobs and len(found) < MOST_LISTED:
            found += page.jobs
            page = await self._page(room_id, "jobs", JobPage, [*query, ("before", page.next)])
        return [*found, *page.jobs]

    async def models(self, room_id: str) -> list[RememberedModel]:
        """The models that the workers of a room hold, online or not, the newest first.

        Raises:
            SleapRTCError: as `room` does.
        """
        found: list[RememberedModel] = []
        page = await self._page(room_id, "models", ModelPage, [])
        while page.next is not None and page.models and len(found) < MOST_LISTED:
            found += page.models
            page = await self._page(room_id, "models", ModelPage, [("before", page.next)])
        return [*found, *page.models]

    async def _page(self, room_id: str, what: str, answer: type[_Answer], query: _Query) -> _Answer:
        return await self._request("GET", f"{_of_room(room_id)}/{what}", answer, query=[*query, ("limit", PAGE)])

    async def _request(
        self,
        method: str,
        path: str,
        answer: type[_Answer],
        body: dict[str, Any] | None = None,
        *,
        query: _Query | None = None,
    ) -> _Answer:
        if self._token is not None:
            self._address.check_private()
        async with self._client() as client:
            response = await client.request(method, self._address.url + path, json=body, params=query)
        return _read(response, answer, self._address.url)

    @asynccontextmanager
    async def _client(self) -> "AsyncIterator[httpx2.AsyncClient]":
        # imported here: commands that never ask the service must not pay for it
        import httpx2

        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        try:
            async with httpx2.AsyncClient(
                headers=headers,
                timeout=self._timeouts.request,
                follow_redirects=False,
                trust_env=not self._address.local,
                # plain http never looks at it, and the library's default one takes a while to load
                verify=tls_context(self._address) or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            ) as client:
                yield client
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise unreachable(self._address.url, error) from error


def _of_room(room_id: str) -> str:
    # checked here as well: what is no id must not become another path
    if not is_id("room", room_id):
        raise NotFoundError(f"'{printable(room_id, limit=40)}' is no room's id: it begins with r_.")
    return f"{API}/rooms/{room_id}"


def _read(response: "httpx2.Response", answer: type[_Answer], url: str) -> _Answer:
    if response.is_success:
        try:
            body = None if response.status_code == NO_CONTENT else parse_json(response.text, limit=MAX_ANSWER)
            return TypeAdapter(answer).validate_python(body)
        except (ValidationError, ProtocolError) as error:
            raise not_ours(url) from error
    if response.is_redirect:
        raise UnreachableError(f"{url} points to another address, which is not followed. Use the final address.")
    raise error_in(response.content) or not_ours(url)
