"""Credentials by service: ``credentials.json``, readable by this user alone, each entry used at its own server only."""

import hashlib
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sleap_rtc.config.by_service import ByService
from sleap_rtc.config.locks import locked, locked_meanwhile
from sleap_rtc.config.paths import home, read_private, write_private
from sleap_rtc.config.servers import normal_server

_Kind = TypeVar("_Kind", "WorkerSession", "Login", "WorkerToken")

_LOGIN = "login"
_SESSION = "worker_session"
_TOKENS = "worker_tokens"


@dataclass(frozen=True)
class WorkerSession:
    """What a worker without an account needs to be found again: its room and the two tokens of its string."""

    room_id: str
    worker_token: str = field(repr=False)
    session_token: str = field(repr=False)


@dataclass(frozen=True)
class Login:
    """Who is logged in at a service.

    Attributes:
        expires_at: when the access token ends by this machine's clock, in UTC milliseconds; None never.
        refresh_token: what the next access token is had for; empty for a login that cannot be renewed.
        login_id: what the service calls the login in lists.
    """

    access_token: str = field(repr=False)
    user_id: str
    name: str
    expires_at: int | None
    refresh_token: str = field(default="", repr=False)
    login_id: str = ""


@dataclass(frozen=True)
class WorkerToken:
    """A worker token that was made for this machine.

    Attributes:
        token_id: what the service calls it in lists.
        expires_at: when it ends, in UTC milliseconds; None if that is not known.
    """

    token_id: str
    token: str = field(repr=False)
    name: str
    expires_at: int | None = None


class Credentials:
    """The file. Two processes that change it at once both succeed.

    Args:
        path: where it lies; ``credentials.json`` in our home by default.

    Every method raises `ConfigError` if the file is damaged, a link, or open to others.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file = ByService(
            path or home() / "credentials.json", ". Remove it; workers and logins are then made anew."
        )

    def login(self, server: str) -> Login | None:
        """Who is logged in at `server`, or None."""
        entry = self._file.entry(server).get(_LOGIN)
        return None if entry is None else self._made(Login, entry)

    def logins(self) -> dict[str, Login]:
        """Who is logged in at which service."""
        return {
            server: self._made(Login, entry[_LOGIN]) for server, entry in self._file.read().items() if _LOGIN in entry
        }

    def keep_login(self, server: str, login: Login) -> None:
        """Keep a login until `forget_login`."""
        with self._file.changing(server) as entry:
            entry[_LOGIN] = asdict(login)

    def replace_login(self, server: str, before: Login, after: Login) -> None:
        """Keep a login with new tokens, unless the user has logged out or in meanwhile."""
        with self._file.changing(server) as entry:
            if entry.get(_LOGIN, {}).get("access_token") == before.access_token:
                entry[_LOGIN] = asdict(after)

    def check_writable(self) -> None:
        """Write the file as it is: what is about to be had once must find its place.

        Raises:
            StorageError: if the disk refuses.
        """
        with locked(self._file.path):
            write_private(self._file.path, read_private(self._file.path))

    def renewing(self, server: str, patience: float) -> AbstractAsyncContextManager[None]:
        """Hold the right to renew the login at `server` while the body runs; one process at a time has it.

        Args:
            server: the service's address.
            patience: seconds to wait for the process that has it.

        Raises:
            StorageError: if that process does not come to an end.
        """
        digest = hashlib.sha256(normal_server(server).encode()).hexdigest()
        return locked_meanwhile(self._file.path.with_name(f"login-{digest[:16]}"), patience)

    def forget_login(self, server: str) -> None:
        """Forget who is logged in at `server`; what workers of this machine use there stays."""
        with self._file.changing(server) as entry:
            entry.pop(_LOGIN, None)

    def worker_session(self, server: str) -> WorkerSession | None:
        """The session this worker had with `server`, or None."""
        entry = self._file.entry(server).get(_SESSION)
        return None if entry is None else self._made(WorkerSession, entry)

    def keep_worker_session(self, server: str, session: WorkerSession) -> None:
        """Keep a session for the next start."""
        with self._file.changing(server) as entry:
            entry[_SESSION] = asdict(session)

    def worker_token(self, server: str, room_id: str) -> WorkerToken | None:
        """The token this machine's worker has for a room at `server`, or None."""
        tokens = self._tokens(self._file.entry(server))
        return self._made(WorkerToken, tokens[room_id]) if room_id in tokens else None

    def keep_worker_token(self, server: str, room_id: str, token: WorkerToken) -> None:
        """Keep a token for the next start; one that was kept before for this room is replaced."""
        with self._file.changing(server) as entry:
            entry[_TOKENS] = self._tokens(entry) | {room_id: asdict(token)}

    def _tokens(self, entry: dict[str, Any]) -> dict[str, Any]:
        tokens = entry.get(_TOKENS, {})
        if not isinstance(tokens, dict):
            raise self._file.damaged()
        return tokens

    def _made(self, kind: type[_Kind], entry: Any) -> _Kind:
        try:
            made = kind(**entry)
        except TypeError as error:
            raise self._file.damaged() from error
        if not all(isinstance(value, str) or name == "expires_at" for name, value in vars(made).items()):
            raise self._file.damaged()
        return made
