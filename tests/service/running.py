"""A real service on a free port of this machine, for tests anywhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from signaling_server.deps import Service
from signaling_server.server import RunningServer, running
from signaling_server.settings import Settings
from tests.service.databases import settings_for


@dataclass(frozen=True)
class RunningService:
    """A service under test.

    Attributes:
        url: where it listens.
        settings: what it was started with.
        app: the application inside, for a look at its parts.
        server: the program, to stop it before the block ends.
    """

    url: str
    settings: Settings
    app: FastAPI
    server: RunningServer

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
        return self.url.replace("http", "ws", 1) + "/api/v1/ws"


@asynccontextmanager
async def running_service(tmp_path: Path, **settings: Any) -> AsyncIterator[RunningService]:
    """Run a service that lies in `tmp_path`; the same folder again is the same service restarted, with its database."""
    given = {"port": 0} | settings_for(tmp_path) | settings
    made = Settings.model_validate(given)
    async with running(made) as server:
        yield RunningService(server.url, made, server.app, server)
