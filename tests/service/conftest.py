from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.service.running import RunningService, running_service


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as running:
        yield running
