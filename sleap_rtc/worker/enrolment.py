"""How a worker without an account gets a room, and keeps it across restarts."""

import hashlib

from sleap_rtc.config.credentials import Credentials, WorkerSession
from sleap_rtc.config.identity import Identity
from sleap_rtc.protocol.session_string import SessionString
from sleap_rtc.signaling.api import ServiceAPI


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
