"""The service's REST side."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ProtocolError, UnreachableError
from sleap_rtc.protocol.codec import parse_json
from sleap_rtc.signaling.address import API, service_address, tls_context
from sleap_rtc.signaling.finding import find_member, find_room
from sleap_rtc.signaling.invite_requests import InviteRequests
from sleap_rtc.signaling.member_requests import MemberRequests
from sleap_rtc.signaling.policy import error_in, not_ours, unreachable
from sleap_rtc.signaling.records import (
    AccessGrant,
    AnonymousRoom,
    ChangedRoom,
    Health,
    InviteInfo,
    JoinedRoom,
    LogEvent,
    LogPage,
    Me,
    Member,
    NewInvite,
    NewToken,
    Person,
    Removal,
    Room,
    RoomDetail,
    RotatedToken,
    TokenInfo,
)
from sleap_rtc.signaling.requests import Answer, Query
from sleap_rtc.signaling.room_requests import RoomRequests
from sleap_rtc.signaling.summaries import RememberedJob, RememberedModel
from sleap_rtc.signaling.summary_requests import SummaryRequests
from sleap_rtc.signaling.token_requests import TokenRequests

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "AccessGrant",
    "AnonymousRoom",
    "ChangedRoom",
    "Health",
    "InviteInfo",
    "JoinedRoom",
    "LogEvent",
    "LogPage",
    "Me",
    "Member",
    "NewInvite",
    "NewToken",
    "Person",
    "RememberedJob",
    "RememberedModel",
    "Removal",
    "Room",
    "RoomDetail",
    "RotatedToken",
    "ServiceAPI",
    "TokenInfo",
    "find_member",
    "find_room",
]

NO_CONTENT = 204
MAX_ANSWER = 4 * 1024 * 1024
"""Largest answer read, in bytes: lists of workers and tokens can be long."""


class ServiceAPI(RoomRequests, MemberRequests, InviteRequests, TokenRequests, SummaryRequests):
    """Requests to one service: those of logging in here, the others by topic.

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

    async def _request(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        body: dict[str, Any] | None = None,
        *,
        query: Query | None = None,
    ) -> Answer:
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


def _read(response: "httpx2.Response", answer: type[Answer], url: str) -> Answer:
    if response.is_success:
        try:
            body = None if response.status_code == NO_CONTENT else parse_json(response.text, limit=MAX_ANSWER)
            return TypeAdapter(answer).validate_python(body)
        except (ValidationError, ProtocolError) as error:
            raise not_ours(url) from error
    if response.is_redirect:
        raise UnreachableError(f"{url} points to another address, which is not followed. Use the final address.")
    raise error_in(response.content) or not_ours(url)
