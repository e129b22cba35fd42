"""The service's REST side."""

import re
from typing import Any

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.signaling.address import API, service_address
from sleap_rtc.signaling.finding import find_member, find_room
from sleap_rtc.signaling.grants import wait_to_be_let_in
from sleap_rtc.signaling.http import http_client, read_answer
from sleap_rtc.signaling.invite_requests import InviteRequests
from sleap_rtc.signaling.member_requests import MemberRequests
from sleap_rtc.signaling.model_records import ModelLine, RoomModelRecord
from sleap_rtc.signaling.model_requests import ModelRequests
from sleap_rtc.signaling.records import (
    AccessGrant,
    AnonymousRoom,
    ChangedRoom,
    DeviceLogin,
    Health,
    InviteInfo,
    JoinedRoom,
    LogEvent,
    LoginInfo,
    LoginMethods,
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
from sleap_rtc.signaling.requests import Answer, Query, no_id
from sleap_rtc.signaling.room_requests import RoomRequests
from sleap_rtc.signaling.summaries import RememberedJob
from sleap_rtc.signaling.summary_requests import SummaryRequests
from sleap_rtc.signaling.token_requests import TokenRequests
from sleap_rtc.signaling.token_source import TokenSource, as_source

__all__ = [
    "AccessGrant",
    "AnonymousRoom",
    "ChangedRoom",
    "DeviceLogin",
    "Health",
    "InviteInfo",
    "JoinedRoom",
    "LogEvent",
    "LogPage",
    "LoginInfo",
    "LoginMethods",
    "Me",
    "Member",
    "ModelLine",
    "NewInvite",
    "NewToken",
    "Person",
    "RememberedJob",
    "Removal",
    "Room",
    "RoomDetail",
    "RoomModelRecord",
    "RotatedToken",
    "ServiceAPI",
    "TokenInfo",
    "find_member",
    "find_room",
]

UNAUTHORIZED = 401
_LOGIN_ID = re.compile(r"a_[0-9A-Za-z-]{8,64}")


class ServiceAPI(RoomRequests, MemberRequests, InviteRequests, TokenRequests, SummaryRequests, ModelRequests):
    """Requests to one service: those of logging in here, the others by topic.

    Args:
        server: its address.
        token: the credential to send with every request, or where it comes from; none by default.
        timeouts: how long to wait.
    """

    def __init__(
        self, server: str, token: str | TokenSource | None = None, *, timeouts: Timeouts | None = None
    ) -> None:
        self._address = service_address(server)
        self._source = None if token is None else as_source(token)
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

    async def login_methods(self) -> LoginMethods:
        """Ask in which ways the service lets people log in.

        Raises:
            UnreachableError: if the service cannot be reached.
        """
        return await self._request("GET", API + "/auth/methods", LoginMethods)

    async def begin_login(self, device: str) -> DeviceLogin:
        """Begin the login of this machine; somebody lets it in with a browser.

        Args:
            device: what to call this machine there.

        Raises:
            UsageError: if the address is not encrypted, as the answer holds a credential.
            BusyError: if too many logins were begun from this address.
            UnreachableError: if the service cannot be reached.
        """
        self._address.check_private()
        return await self._request("POST", API + "/auth/device", DeviceLogin, {"device": device})

    async def wait_to_be_let_in(self, begun: DeviceLogin) -> AccessGrant:
        """Wait until somebody has let this machine in; see `grants.wait_to_be_let_in`."""
        return await wait_to_be_let_in(self._address, begun, self._timeouts)

    async def login_dev(self, name: str, device: str = "") -> AccessGrant:
        """Log in by name alone, where the service was started with ``--dev``.

        Args:
            name: under which name.
            device: what to call this machine in lists.

        Raises:
            NotFoundError: if this service has no such login.
            UsageError: if the name has a wrong form, or the address is not encrypted.
            UnreachableError: if the service cannot be reached.
        """
        self._address.check_private()
        return await self._request("POST", API + "/auth/dev", AccessGrant, {"name": name, "device": device})

    async def logout(self) -> None:
        """End the login this was made with.

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

    async def logins(self) -> list[LoginInfo]:
        """Where this user is logged in, the newest login first.

        Raises:
            AuthenticationError: if the service does not accept the access token.
            UnreachableError: if the service cannot be reached.
        """
        return await self._request("GET", API + "/me/logins", list[LoginInfo])

    async def end_login(self, login_id: str) -> None:
        """End one login of this user; its connections are closed.

        Raises:
            NotFoundError: if this user has no such login.
            SleapRTCError: as `logins` does.
        """
        if not _LOGIN_ID.fullmatch(login_id):
            raise no_id(login_id, "login", "a_")
        await self._request("DELETE", f"{API}/me/logins/{login_id}", type(None))

    async def end_logins(self) -> None:
        """End every login of this user, this one too; see `logins` for what is raised."""
        await self._request("DELETE", API + "/me/logins", type(None))

    async def _request(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        body: dict[str, Any] | None = None,
        *,
        query: Query | None = None,
    ) -> Answer:
        url = self._address.url
        if self._source is None:
            async with http_client(self._address, self._timeouts) as client:
                return read_answer(await client.request(method, url + path, json=body, params=query), answer, url)
        self._address.check_private()
        token = await self._source.token()
        async with http_client(self._address, self._timeouts) as client:
            response = await client.request(method, url + path, json=body, params=query, headers=_authorization(token))
        if response.status_code == UNAUTHORIZED:
            # refused before anything was done, so asking again does nothing twice
            another = await self._source.renewed(token, connected=False)
            if another is not None:
                async with http_client(self._address, self._timeouts) as client:
                    response = await client.request(
                        method, url + path, json=body, params=query, headers=_authorization(another)
                    )
        return read_answer(response, answer, url)


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
