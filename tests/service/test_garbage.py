"""What a process of the service does with Python's garbage."""

import asyncio
import gc
import weakref

from signaling_server.garbage import brief_collections


class Circle:
    """Something that refers to itself, and so is not freed when nobody else does."""

    def __init__(self) -> None:
        self.me = self


async def until_set_aside(count: int = 0) -> None:
    async with asyncio.timeout(60):
        while gc.get_freeze_count() <= count:  # noqa: ASYNC110 - the collector sets no event
            await asyncio.sleep(0.01)


async def test_what_stays_is_not_looked_at_again_until_the_thorough_look() -> None:
    gone: list[object] = []
    circle: Circle | None = Circle()
    async with brief_collections(often=0.02, thoroughly=0.5):
        await until_set_aside()
        watched = weakref.ref(circle, gone.append)
        circle = None
        gc.collect()
        assert watched() is not None
        async with asyncio.timeout(60):
            while not gone:  # noqa: ASYNC110 - the collector sets no event
                await asyncio.sleep(0.02)
    assert gc.get_freeze_count() == 0
