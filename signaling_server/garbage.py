"""Python's own search for garbage, kept from holding up thousands of peers."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

OFTEN = 10.0
"""Seconds between two looks at what is new."""
THOROUGHLY = 3600.0
"""Seconds between two looks at everything."""


@asynccontextmanager
async def brief_collections(often: float = OFTEN, thoroughly: float = THOROUGHLY) -> AsyncIterator[None]:
    """Let garbage be looked for among what is new alone, and only now and then everywhere, while the block runs.

    A look at everything stops the process while it visits every object: for most of a second where 5,000 peers are
    connected, and messages that are passed on make one every minute. So what has lived for some seconds is set aside
    (`gc.freeze`): it belongs to a peer that stays. It goes as ever when nothing refers to it any more; only circles of
    it wait for the thorough look.

    Args:
        often: seconds between two looks at what is new.
        thoroughly: seconds between two looks at everything.
    """
    # owned by this block, which ends it
    looking = asyncio.create_task(_look(often, thoroughly))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        gc.unfreeze()


async def _look(often: float, thoroughly: float) -> NoReturn:
    loop = asyncio.get_running_loop()
    due = loop.time() + thoroughly
    while True:
        if loop.time() >= due:
            gc.unfreeze()
            due = loop.time() + thoroughly
        gc.collect()
        gc.freeze()
        await asyncio.sleep(often)
