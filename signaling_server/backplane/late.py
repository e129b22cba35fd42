"""Visitors who came from another process in the very moment in which they were sent away.

Within one process nothing comes between. Of two, one may still pass an offer on while the other has looked already
whose links have to end. So for a while after somebody was sent away, whoever dials from elsewhere is looked at again.
"""

import asyncio
import logging
from typing import NoReturn

from sqlalchemy.exc import SQLAlchemyError

from signaling_server.signaling.hub import MemoryHub
from signaling_server.signaling.members import Holder
from signaling_server.signaling.routing import Ended
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.signaling import CLOSE_REVOKED

logger = logging.getLogger(__name__)

WATCHED_SECONDS = 15.0
"""How long an offer may be under way; longer, and the process that sent it is dead."""


class Latecomers:
    """Those who are looked at once more.

    Args:
        here: the members of this process.
        ended: looks at rights.
    """

    def __init__(self, here: MemoryHub, ended: Ended) -> None:
        self._here = here
        self._ended = ended
        self._waiting: dict[Holder, None] = {}
        self._news = asyncio.Event()
        self._until = 0.0

    @property
    def watches(self) -> bool:
        """Whether somebody was sent away just now."""
        return asyncio.get_running_loop().time() < self._until

    def watch(self) -> None:
        """Somebody was sent away: look at whoever comes from elsewhere from now on."""
        self._until = asyncio.get_running_loop().time() + WATCHED_SECONDS

    def came(self, visitor: Holder) -> None:
        """Somebody has dialled a worker here from another process."""
        if self.watches:
            self._waiting[visitor] = None
            self._news.set()

    async def run(self) -> NoReturn:
        """Look for ever at those who came."""
        while True:
            await self._news.wait()
            self._news.clear()
            visitors, self._waiting = self._waiting, {}
            try:
                await self._here.end(await self._ended(visitors), CLOSE_REVOKED)
            except (SQLAlchemyError, SleapRTCError):
                # the database is away, and the log says so: the usual look at everybody finds them
                logger.warning("%d who just came could not be looked at", len(visitors))
