"""What commands that run an event loop share: the loop, and Ctrl-C as something to be asked about."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
_SWITCH = 0.0005
"""Seconds that a thread may keep the interpreter while another one waits for it."""


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on the fastest loop this platform has."""
    # threads that hash and the loop hand the interpreter to each other thousands of times in a transfer
    sys.setswitchinterval(_SWITCH)
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@contextmanager
def interrupts() -> Iterator["asyncio.Queue[int]"]:
    """Collect Ctrl-C and SIGTERM in a queue while the body runs, instead of ending the program."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[int] = asyncio.Queue()

    def note(number: int, _: object = None) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    # signal.signal works on every system; the loop wakes up because the handler writes to its own socket
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield queue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@asynccontextmanager
async def beside(work: Awaitable[T]) -> AsyncIterator["asyncio.Future[T]"]:
    """Run `work` beside the body, which looks at its outcome if it wants it; the two end together."""
    # owned by this block, which ends it
    running = asyncio.ensure_future(work)
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
