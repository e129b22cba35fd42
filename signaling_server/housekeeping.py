"""What a service does by itself: connected peers whose credential ended are sent away, dead rooms are forgotten."""

import asyncio
import logging
from typing import NoReturn

from sqlalchemy.exc import SQLAlchemyError

from signaling_server.deps import Service
from signaling_server.rooms import service as rooms
from signaling_server.tokens import service as tokens
from sleap_rtc.protocol.signaling import CLOSE_REVOKED

logger = logging.getLogger(__name__)


async def recheck(service: Service) -> None:
    """Look once at the credentials of everybody connected, and let their anonymous rooms live on."""
    now = service.clock()
    holders = await service.hub.holders()
    async with service.database.transaction() as session:
        ended = await tokens.dead(session, holders, now=now)
        alive = {room for token_id, room in holders.items() if token_id not in ended}
        expires_at = now + int(service.settings.idle_room_days * rooms.DAY_MS)
        await tokens.keep_room(session, alive, expires_at=expires_at)
        await rooms.forget_expired(session, now=now)
    await service.hub.end(ended, CLOSE_REVOKED)


async def keep_house(service: Service) -> NoReturn:
    """Do so for ever."""
    while True:
        await asyncio.sleep(service.settings.recheck_seconds)
        try:
            await recheck(service)
        except SQLAlchemyError:
            # a full or locked disk now is no reason to stop for good: the next round tries again
            logger.exception("the credentials of connected peers could not be checked")
