"""A real service on a free port of this machine, for tests anywhere."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from signaling_server.deps import Service
from signaling_server.server import RunningServer, running
from signaling_server.settings import Settings
from tests.service import redis_servers
from tests.service.databases import settings_for


@dataclass(frozen=True)
class RunningService:
    """A service under test.

    Attributes:
        url: where it listens.
        settings: what it was started with.
        app: the application inside, for a look at its parts.
        server: the program, to stop it before the block ends.
        twin: another process of the same service, if the test runs on two: peers connect to the two in turn.
    """

    url: str
    settings: Settings
    app: FastAPI
    server: RunningServer
    twin: "RunningService | None" = None
    _turns: Iterator[int] = field(default_factory=count, repr=False)

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    async def stop(self) -> None:
        """Let it come to its end."""
        self.server.stop()
        await self.server.stopped.wait()

    @property
    def ws_url(self) -> str:
        reached = self.twin if self.twin is not None and next(self._turns) % 2 else self
        return reached.url.replace("http", "ws", 1) + "/api/v1/ws"


@asynccontextmanager
async def running_service(tmp_path: Path, **settings: Any) -> AsyncIterator[RunningService]:
    """Run a service that lies in `tmp_path`; the same folder again is the same service restarted, with its database."""
    given = {"port": 0} | settings_for(tmp_path) | redis_servers.settings_for(tmp_path) | settings
    made = Settings.model_validate(given)
    async with AsyncExitStack() as stack:
        twin = None
        if redis_servers.is_chosen():
            other = await stack.enter_async_context(running(made.model_copy(update={"port": 0})))
            twin = RunningService(other.url, made, other.app, other)
        server = await stack.enter_async_context(running(made))
        yield RunningService(server.url, made, server.app, server, twin)


@asynccontextmanager
async def two_processes(
    tmp_path: Path, redis_url: str, prefix: str, **settings: Any
) -> AsyncIterator[tuple[RunningService, RunningService]]:
    """Two processes of one service, each by itself."""
    given: dict[str, Any] = {"redis_url": redis_url, "redis_prefix": prefix} | settings
    async with running_service(tmp_path, **given) as one, running_service(tmp_path, **given) as two:
        yield one, two
