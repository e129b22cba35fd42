"""A user without a terminal, and a service where anybody logs in by name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cli.shell import Shell, make_shell
from tests.service.running import RunningService, running_service


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return make_shell(tmp_path, monkeypatch, capsys)


@pytest_asyncio.fixture
async def service(tmp_path: Path, shell: Shell) -> AsyncIterator[RunningService]:
    """A service that the commands of the shell mean."""
    async with running_service(tmp_path, dev=True) as service:
        shell.export("SLEAP_RTC_SERVER", service.url)
        yield service
