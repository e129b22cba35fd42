"""Blocking work of transfers, in threads of its own, and done to its end whatever is cancelled meanwhile."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from sleap_rtc.config.finishing import to_the_end

P = ParamSpec("P")
T = TypeVar("T")

# not the event loop's own: a gigabyte that is hashed must not keep a job's state from being read
_pool = ThreadPoolExecutor(8, "sleap-rtc-transfer")
# few, and again their own: however many results a peer asks for at once, what is small goes on meanwhile
_hashing = ThreadPoolExecutor(4, "sleap-rtc-offering")


async def in_thread(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Run blocking work in one of the transfers' threads; whoever is cancelled does not wait for it."""
    return await asyncio.get_running_loop().run_in_executor(_pool, partial(work, *arguments, **named))


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Nobody waits for the result any more."""


async def stoppable(work: Callable[[threading.Event], T]) -> T:
    """Run blocking work that may take minutes in a thread, when one is free for it.

    Whoever is cancelled returns when the work has stopped.

    Args:
        work: given an event; once that is set, it is to end soon, say by `Stopped`.
    """
    stopped = threading.Event()
    turn = _hashing.submit(work, stopped)
    # owned by this call, which does not return before it has ended
    running = asyncio.wrap_future(turn)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        # what it reads is the caller's again when this returns; one that has not begun never will
        stopped.set()
        turn.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()
        raise


@asynccontextmanager
async def held(make: Callable[[], T], release: Callable[[T], object]) -> AsyncIterator[T]:
    """Make something in a thread, and release it when the body has ended.

    A cancelled caller waits for both: what a thread made for somebody who is gone would be held for ever.

    Args:
        make: makes it.
        release: gives it back.
    """
    # owned by this call, which does not return before it has ended
    making = asyncio.ensure_future(in_thread(make))
    try:
        thing = await to_the_end(making)
    except asyncio.CancelledError:
        if not making.cancelled() and making.exception() is None:
            await to_the_end(in_thread(release, making.result()))
        raise
    try:
        yield thing
    finally:
        await to_the_end(in_thread(release, thing))
