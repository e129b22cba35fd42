import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sleap_rtc.config.timeouts import Timeouts


@pytest.fixture
def timeouts() -> Timeouts:
    """Short where a test waits for them to pass, generous where passing them would be a failure."""
    return Timeouts(gathering=0.2, connect=20, close=10)


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """No callback or task fails unheard, and no task outlives the peers of a test."""
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        await asyncio.wait(left, timeout=5)
    assert not {task for task in left if task and not task.done()}
    assert not failures
