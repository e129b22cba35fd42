"""The worker of a room that was chosen, met as commands meet it: what happens on the way is said beside a display."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

from sleap_rtc.cli.choosing import Chosen
from sleap_rtc.cli.progress import JobDisplay
from sleap_rtc.cli.telling import say_link, say_met_beside, say_service
from sleap_rtc.client.client import Client, FindSecrets
from sleap_rtc.client.remote import RemoteWorker
from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.transport.engines import Engine, preload


@asynccontextmanager
async def meet(
    server: str,
    chosen: Chosen,
    display: JobDisplay,
    *,
    transport: str,
    limits: TransferLimits,
    secrets: FindSecrets,
    timeouts: Timeouts | None = None,
) -> AsyncIterator[RemoteWorker]:
    """Join the room of a worker and keep a link to it while the body runs.

    Args:
        server: the service's address.
        chosen: the worker, and the account that found it.
        display: what is on the screen.
        transport: which WebRTC engine to use.
        limits: what transfers may use.
        secrets: finds the secrets of rooms.
        timeouts: how long to wait for what.

    Raises:
        SleapRTCError: why it cannot be met.
    """
    display.connecting(chosen.presence.name)
    engine = cast(Engine, transport)
    await asyncio.to_thread(preload, engine)
    async with (
        Client.join(
            server, chosen.account, room=chosen.room, engine=engine, timeouts=timeouts, limits=limits, secrets=secrets,
            on_service=say_service, on_met=partial(say_met_beside, display),
        ) as client,
        client.dial(
            chosen.presence.worker_id, name=chosen.presence.name, on_state=partial(say_link, display)
        ) as worker,
    ):  # fmt: skip
        yield worker
