"""One of several processes of a service."""

import asyncio
import os
import socket

from signaling_server.backplane.parts import check
from signaling_server.inheritance import READY, Inherited
from signaling_server.logs import set_up
from signaling_server.server import serving
from signaling_server.settings import Settings


async def serve_as_one(settings: Settings, given: Inherited) -> None:
    """Serve on the common socket until SIGTERM, or until the parent is gone.

    Raises:
        SleapRTCError: if it cannot start.
    """
    set_up(settings)
    if settings.redis_url is not None:  # else the one that it replaces would go for one that reaches nobody
        await check(settings.redis_url)
    listener = socket.socket(fileno=given.listener)
    async with serving(settings, listener, signals=True, shared=True) as server:
        loop = asyncio.get_running_loop()
        loop.add_reader(given.leash, server.stop)
        os.write(given.status, READY)
        os.close(given.status)
        try:
            await server.stopped.wait()
        finally:
            loop.remove_reader(given.leash)
