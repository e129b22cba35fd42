"""One of several processes of a service: what it is given by the one that started it, and how it serves."""

import asyncio
import os
import socket
from collections.abc import MutableMapping
from typing import NamedTuple

from signaling_server.logs import set_up
from signaling_server.server import serving
from signaling_server.settings import Settings

VARIABLE = "SLEAP_RTC_SERVICE_PROCESS"
"""Tells a process that it is one of several: the descriptors that it was given."""
READY = b"."
"""What a process says once it accepts connections."""


class Inherited(NamedTuple):
    """Descriptors: the socket to accept from, where to say `READY`, and what ends when the parent does."""

    listener: int
    status: int
    leash: int

    def __str__(self) -> str:
        return ",".join(str(each) for each in self)


def take_inherited(environ: MutableMapping[str, str]) -> Inherited | None:
    """What this process was given, once; None for one that was started by somebody else."""
    text = environ.pop(VARIABLE, None)
    return None if text is None else Inherited(*(int(each) for each in text.split(",")))


async def serve_as_one(settings: Settings, given: Inherited) -> None:
    """Serve on the common socket until SIGTERM, or until the parent is gone.

    Raises:
        SleapRTCError: if it cannot start.
    """
    set_up(settings)
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
