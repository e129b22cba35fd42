"""The user's login at one service: access tokens that renew themselves, for one process or ten at once."""

from collections.abc import Callable

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.config.credentials import Credentials, Login
from sleap_rtc.config.servers import server_words
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import AuthenticationError
from sleap_rtc.signaling.address import service_address
from sleap_rtc.signaling.grants import Refusal, refresh
from sleap_rtc.signaling.records import AccessGrant

MARGIN_MS = 60_000
"""An access token that ends within so many milliseconds is renewed before it is used."""
PATIENCE = 3.0
"""For how many unanswered requests of another process, which renews the login just now, this one waits."""


def login_of(grant: AccessGrant, asked_at: int) -> Login:
    """A login as it is kept.

    Args:
        grant: what the service handed out.
        asked_at: this machine's time when it was asked; how long the token is good for is measured from there, so that
            a clock that is wrong does no harm.
    """
    return Login(
        grant.access_token,
        grant.user_id,
        grant.name,
        asked_at + grant.expires_in * 1000,
        grant.refresh_token,
        grant.login_id,
    )


class Account:
    """The login that this machine has at a service, as a `TokenSource`.

    Every use looks into ``credentials.json``, as other commands renew the same login. What the service hands out is
    written there before it is used; one process at a time asks it.

    Args:
        server: the service's address.
        timeouts: how long to wait for the service.
        credentials: where the login is kept.
        clock: this machine's clock, in UTC milliseconds.
    """

    def __init__(
        self,
        server: str,
        *,
        timeouts: Timeouts | None = None,
        credentials: Credentials | None = None,
        clock: Callable[[], int] = utc_ms,
    ) -> None:
        self._server = server
        self._address = service_address(server)
        self._timeouts = timeouts or Timeouts()
        self._credentials = credentials or Credentials()
        self._clock = clock
        self._user_id = self.login().user_id

    def login(self) -> Login:
        """Who is logged in.

        Raises:
            AuthenticationError: if nobody is.
            ConfigError: if the file is damaged, a link, or open to others.
        """
        login = self._credentials.login(self._server)
        if login is None:
            raise AuthenticationError(
                f"You are not logged in to {self._server}. Run: sleap-rtc login{server_words(self._server)}"
            )
        return login

    async def token(self) -> str:
        """An access token that lasts; see `TokenSource.token`."""
        login = self._same_user()
        ends = login.expires_at is not None and login.expires_at - self._clock() < MARGIN_MS
        return await self._renew(login) if ends and login.refresh_token else login.access_token

    async def renewed(self, refused: str, *, connected: bool) -> str | None:
        """Another access token, whatever the clock says; see `TokenSource.renewed`.

        Nothing helps a connection that was ended: it belonged to the login, not to its token.
        """
        if connected:
            return None
        login = self._same_user()
        if login.access_token != refused:
            return login.access_token
        return await self._renew(login) if login.refresh_token else None

    def _same_user(self) -> Login:
        login = self.login()
        if login.user_id != self._user_id:
            raise AuthenticationError(
                f"{login.name} has logged in to {self._server} meanwhile, and this command was somebody else's. "
                "Type it again."
            )
        return login

    async def _renew(self, seen: Login) -> str:
        async with self._credentials.renewing(self._server, PATIENCE * self._timeouts.request):
            login = self._same_user()
            if login.access_token != seen.access_token:  # another process was faster
                return login.access_token
            self._credentials.check_writable()
            asked_at = self._clock()
            answer = await refresh(self._address, login.refresh_token, self._timeouts)
            if isinstance(answer, Refusal):
                raise AuthenticationError(answer.error_description)
            renewed = login_of(answer, asked_at)
            self._credentials.replace_login(self._server, login, renewed)
        return renewed.access_token
