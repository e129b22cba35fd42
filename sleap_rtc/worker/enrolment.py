"""How a worker comes to its room: by a session string, by a key, or by the login of the room's owner."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from sleap_rtc.config.credentials import Credentials, WorkerSession
from sleap_rtc.config.identity import Identity
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import AuthenticationError, UsageError
from sleap_rtc.protocol.session_string import SessionString
from sleap_rtc.protocol.tokens import PREFIXES, check_token
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import ServiceAPI, find_room
from sleap_rtc.signaling.client import ServiceState, SignalingClient
from sleap_rtc.signaling.token_source import TokenSource
from sleap_rtc.worker.own_token import OwnToken


@dataclass(frozen=True)
class Enrolment:
    """A place in a room.

    Attributes:
        token: the worker token, or where it comes from.
        room_id: the room it opens.
        room_name: what people call the room.
        name: what the token is called.
        ends_in: in how many seconds the token or the room ends; None never, or where another takes its place by itself.
    """

    token: str | TokenSource = field(repr=False)
    room_id: str
    room_name: str
    name: str
    ends_in: int | None = None


async def find_or_make_session(server: str, name: str, *, new: bool = False) -> WorkerSession:
    """Return this worker's session at `server`; a new one where there is none.

    Args:
        server: the service's address.
        name: what to call a new room.
        new: make a new one in any case, because the service refused the kept one.

    Raises:
        UnreachableError: if the service cannot be reached.
        AuthenticationError: if it opens no rooms for strangers.
    """
    credentials = Credentials()
    kept = None if new else credentials.worker_session(server)
    if kept:
        return kept
    room = await ServiceAPI(server).create_anonymous_room(name)
    session = WorkerSession(room.room_id, room.worker_token, room.session_token)
    credentials.keep_worker_session(server, session)
    return session


def session_string(server: str, session: WorkerSession, identity: Identity) -> str:
    """Write the one string that lets a client reach this worker, its key pinned in it."""
    return SessionString(
        room_id=session.room_id,
        token=session.session_token,
        worker_id=identity.worker_id,
        server=server,
        key=hashlib.sha256(identity.public_key).hexdigest(),
    ).encode()


def check_key(key: str, origin: str) -> None:
    """Check the form of a worker token before it is sent anywhere.

    Args:
        key: as it was given.
        origin: where it was given.

    Raises:
        AuthenticationError: if it is not whole, or opens something else.
    """
    try:
        kind = check_token(key)
    except AuthenticationError as error:
        raise AuthenticationError(
            f"The worker's key from {origin} is not whole: a character is missing or changed. Copy it again."
        ) from error
    if kind != "worker":
        raise AuthenticationError(
            f"What {origin} gives as the worker's key is no worker token: one begins with {PREFIXES['worker']}. "
            "The room's owner makes one: sleap-rtc token create"
        )


async def enrol_with_key(
    server: str,
    key: str,
    *,
    timeouts: Timeouts | None = None,
    on_service: Callable[[ServiceState], None] | None = None,
) -> Enrolment:
    """Ask the service which room a worker token opens; waits for a service that cannot be reached just now.

    Args:
        server: the service's address.
        key: the worker token.
        timeouts: how long to wait.
        on_service: told when the service is reached or lost.

    Raises:
        AuthenticationError: if the token is wrong, expired or revoked.
    """
    async with SignalingClient(
        server, key, timeouts=timeouts or Timeouts(), patient=True, on_state=on_service
    ) as signaling:
        welcome = await signaling.welcome()
        principal = welcome.principal
        return Enrolment(key, principal.room, welcome.room_name, principal.name, ends_in=welcome.ends_in)


def check_room(enrolment: Enrolment, wanted: str) -> None:
    """Check that a key opens the room that was asked for.

    Raises:
        UsageError: if it opens another one.
    """
    text = wanted.strip()
    if text != enrolment.room_id and text.casefold() != enrolment.room_name.casefold():
        raise UsageError(
            f"This worker's key opens the room '{enrolment.room_name}' ({enrolment.room_id}), and not '{text}'. "
            "Use a key of that room, or leave --room out."
        )


async def enrol_with_login(server: str, account: Account, room: str, name: str) -> Enrolment:
    """Use the token that this machine has for a room of the logged-in owner; make and keep one where there is none.

    A token that has expired is replaced, now and while the worker runs. One that was revoked is not: whoever revoked
    it wanted this machine out.

    Args:
        server: the service's address.
        account: the owner's login there.
        room: the room's id or name.
        name: what to call a new token.

    Raises:
        NotFoundError: if the user belongs to no such room.
        ForbiddenError: if the user does not own it.
        AuthenticationError: if this machine's token was revoked, or the login has ended.
        UnreachableError: if the service cannot be reached.
    """
    api = ServiceAPI(server, account)
    token = OwnToken(server, api, find_room(await api.rooms(), room), name)
    kept = await token.make_good()
    return Enrolment(token, token.room.room_id, token.room.name, kept.name)
