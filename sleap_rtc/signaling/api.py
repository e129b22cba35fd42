"""The service's REST side."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ProtocolError, UnreachableError
from sleap_rtc.protocol.codec import parse_json
from sleap_rtc.protocol.ids import RoomId
from sleap_rtc.signaling.address import API, service_address, tls_context
from sleap_rtc.signaling.policy import error_in, not_ours, unreachable

if TYPE_CHECKING:
    import httpx2

_Answer = TypeVar("_Answer", bound=BaseModel)


class Health(BaseModel):
    """What a service says about itself."""

    model_config = ConfigDict(frozen=True)
    service: Literal["sleap-rtc"]
    version: str = Field(max_length=64)
    protocol: str = Field(max_length=64)


class AnonymousRoom(BaseModel):
    """A room for one session string.

    Attributes:
        expires_at: when the unused session string ends, in UTC milliseconds.
    """

    model_config = ConfigDict(frozen=True)
    room_id: RoomId
    worker_token: str = Field(max_length=256, repr=False)
    session_token: str = Field(max_length=256, repr=False)
    expires_at: int


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

    async def _request(
        self, method: str, path: str, answer: type[_Answer], body: dict[str, Any] | None = None
    ) -> _Answer:
        if self._token is not None:
            self._address.check_private()
        async with self._client() as client:
            response = await client.request(method, self._address.url + path, json=body)
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
        except httpx2.HTTPError as error:
            raise unreachable(self._address.url, error) from error


def _read(response: "httpx2.Response", answer: type[_Answer], url: str) -> _Answer:
    if response.is_success:
        try:
            return answer.model_validate(parse_json(response.text))
        except (ValidationError, ProtocolError) as error:
            raise not_ours(url) from error
    if response.is_redirect:
        raise UnreachableError(f"{url} points to another address, which is not followed. Use the final address.")
    raise error_in(response.content) or not_ours(url)
