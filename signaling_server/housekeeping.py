"""What a service does by itself: connected peers whose credential ended are sent away, dead rooms are forgotten."""

import asyncio
import logging
from collections.abc import Collection, Iterator
from typing import NoReturn

from sqlalchemy import Table
from sqlalchemy.exc import SQLAlchemyError

from signaling_server import expiry
from signaling_server.audit import service as audit
from signaling_server.auth import logins
from signaling_server.deps import Service
from signaling_server.lifetimes import DAY_MS, HOUR_MS
from signaling_server.registry import holdings
from signaling_server.registry import service as registry
from signaling_server.rooms import service as rooms
from signaling_server.signaling.admission import ended
from signaling_server.signaling.members import Holder
from signaling_server.tokens import service as tokens
from sleap_rtc.errors import ConflictError, StorageError
from sleap_rtc.protocol.signaling import CLOSE_REVOKED

logger = logging.getLogger(__name__)

CLEANING = "cleaning"
"""What the errand of forgetting is called that a process takes."""
AT_ONCE = 250
"""Whose credentials are looked at together: the rows of thousands would hold up every message meanwhile."""
WATCH_SECONDS = 1.0
"""How often somebody who was locked out is looked for."""


async def recheck(service: Service) -> None:
    """Look once at the credentials of everybody connected to this process, and let their anonymous rooms live on."""
    here = service.hub.here
    holders, connected = await here.holders(), await here.connected()
    for some in _in_parts(holders):
        await _recheck(service, some, connected)


async def _recheck(service: Service, holders: Collection[Holder], connected: Collection[Holder]) -> None:
    now = service.clock()
    async with service.database.transaction() as session:
        reasons = await ended(session, holders, now=now)
        # who was behind a link once may have left it long ago: only a connection keeps anything alive
        alive = [holder for holder in holders if holder in connected and holder not in reasons]
        expires_at = now + int(service.settings.idle_room_days * DAY_MS)
        await tokens.keep_room(session, {holder.room for holder in alive}, expires_at=expires_at)
        await tokens.touch(session, {holder.token_id for holder in alive}, now=now)
        for terms, kinds in ((service.terms, logins.WITH_HEADER), (service.browser_terms, logins.WITH_COOKIE)):
            await logins.touch(session, {holder.token_id for holder in alive}, now=now, terms=terms, kinds=kinds)
        owners = await rooms.owners(session, {holder.room for holder in alive})
    await service.hub.end(reasons, CLOSE_REVOKED)
    await service.hub.here.set_owners(owners)


def _in_parts(holders: Collection[Holder]) -> Iterator[list[Holder]]:
    every = list(holders)
    return (every[at : at + AT_ONCE] for at in range(0, len(every), AT_ONCE))


async def keep_watch(service: Service) -> NoReturn:
    """Send away for ever, and at once, whom an operator locks out: the command for it changes the database alone.

    While this process may miss what another one tells, everybody is looked at: whoever was revoked there has to go.
    """
    seen: tuple[int | None, ...] | None = None
    gaps = service.hub.gaps()
    while True:
        try:
            # who comes from now on was looked at; the gaps are read first, so that one from now on counts the next time
            gaps_now, holders = service.hub.gaps(), await service.hub.here.holders()
            told = service.hub.problem() is None and gaps == gaps_now
            async with service.database.reading() as session:
                found = await logins.ends(session)
            if not (told and seen in (None, found)):
                for some in _in_parts(holders):
                    async with service.database.reading() as session:
                        reasons = await ended(session, some, now=service.clock())
                    await service.hub.end(reasons, CLOSE_REVOKED)
            seen, gaps = found, gaps_now
            await asyncio.sleep(WATCH_SECONDS)
        except (SQLAlchemyError, StorageError):
            # the log has it; housekeeping finds them, too, once the database is back
            await asyncio.sleep(service.settings.recheck_seconds)


async def clean_up(service: Service) -> None:
    """Forget once what ended long ago."""
    now = service.clock()
    for table in expiry.tables():
        await _forget_ended(service, table, now)
    async with service.database.transaction() as session:
        await logins.forget_used(session, now=now)
        for told in (registry, holdings):
            await told.forget_old(session, now=now, keep_ms=int(service.settings.summary_days * DAY_MS))
        await audit.forget_old(session, keep=service.settings.limits.events_per_room)


async def _forget_ended(service: Service, table: Table, now: int) -> None:
    forgotten = expiry.AT_ONCE
    while forgotten == expiry.AT_ONCE:
        async with service.database.transaction() as session:
            forgotten = await expiry.forget_ended(session, table, now=now)


async def keep_house(service: Service) -> NoReturn:
    """Do both for ever: the first often, the second every hour, in one process of the service."""
    while True:
        await asyncio.sleep(service.settings.recheck_seconds)
        try:
            await recheck(service)
            if await service.errands.take(CLEANING, HOUR_MS):
                await clean_up(service)
        except (SQLAlchemyError, StorageError, ConflictError):
            # a full or locked disk now is no reason to stop for good: the next round tries again
            logger.exception("the credentials of connected peers could not be checked")
