"""The token that a worker makes for itself with the login of its room's owner, and renews for as long as that lasts."""

import logging
from collections.abc import Callable

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.config.credentials import Credentials, WorkerToken
from sleap_rtc.errors import AuthenticationError, NotFoundError, SleapRTCError
from sleap_rtc.signaling.api import Room, ServiceAPI

logger = logging.getLogger(__name__)

TOKEN_DAYS = 7
"""How long such a token lives."""
EARLY_MS = 86_400_000
"""A token that ends within so many milliseconds is replaced at the next connection."""


class OwnToken:
    """This machine's token of one room, as a `TokenSource`.

    A socket whose token expires is ended by the service; the worker comes back with a new token, and its links do not
    notice. One that was revoked is not replaced: whoever revoked it wanted this machine out.

    Args:
        server: the service's address.
        api: the same, with the owner's login.
        room: the room.
        name: what to call a new token.
        clock: this machine's clock, in UTC milliseconds.
    """

    def __init__(
        self, server: str, api: ServiceAPI, room: Room, name: str, *, clock: Callable[[], int] = utc_ms
    ) -> None:
        self.room = room
        self._server = server
        self._api = api
        self._name = name
        self._clock = clock
        self._credentials = Credentials()

    async def make_good(self) -> WorkerToken:
        """The kept token if the service accepts it, else a new one.

        Raises:
            AuthenticationError: if the kept one was revoked, or the login has ended.
            SleapRTCError: as `ServiceAPI.create_token` does.
        """
        kept = self._kept()
        state = None if kept is None else await self._state(kept)
        if state == "revoked":
            raise AuthenticationError(
                f"The token that this machine had for the room '{self.room.name}' was revoked. To let it in again, "
                "make one by hand and start the worker with it: sleap-rtc token create "
                f"--room {self.room.room_id} --name {self._name}"
            )
        return kept if kept is not None and state == "active" else await self._make()

    async def token(self) -> str:
        """See `TokenSource.token`."""
        kept = self._kept()
        if kept is None:
            return (await self.make_good()).token
        if kept.expires_at is not None and kept.expires_at - self._clock() < EARLY_MS:
            try:
                if await self._state(kept) == "active":
                    kept = await self._make()
            except SleapRTCError as error:
                # the one we have is good yet; what becomes of it the service says
                logger.info("The worker's token could not be renewed before its end: %s", error)
        return kept.token

    async def renewed(self, refused: str, *, connected: bool) -> str | None:
        """See `TokenSource.renewed`."""
        kept = self._kept()
        if kept is not None and kept.token != refused:
            return kept.token
        # an active one was refused for another reason than its age, and another one would be as well
        try:
            if kept is not None and await self._state(kept) in ("active", "revoked"):
                return None
            return (await self._make()).token
        except NotFoundError:
            return None  # the room is gone, and the service has said why

    def _kept(self) -> WorkerToken | None:
        return self._credentials.worker_token(self._server, self.room.room_id)

    async def _state(self, token: WorkerToken) -> str | None:
        listed = await self._api.tokens(self.room.room_id)
        return next((each.state for each in listed if each.token_id == token.token_id), None)

    async def _make(self) -> WorkerToken:
        made = await self._api.create_token(self.room.room_id, self._name, expires_days=TOKEN_DAYS)
        token = WorkerToken(made.token_id, made.token, made.name, made.expires_at)
        self._credentials.keep_worker_token(self._server, self.room.room_id, token)
        return token
