"""A small GitHub on loopback: its three endpoints, as GitHub documents them, behind a real HTTP server."""

import asyncio
import base64
import hashlib
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

CLIENT_ID = "Iv1.0123456789abcdef"
CLIENT_SECRET = "b7d0c5a2f1e94c3d8a6b7c8d9e0f1a2b3c4d5e6f"


@dataclass
class FakeGitHub:
    """What it knows, and what it was asked.

    Attributes:
        redirect_uri: the one that is registered.
        user: who is logged in there.
        broken: what the token endpoint answers instead of a token.
    """

    url: str
    redirect_uri: str = ""
    user: dict[str, Any] = field(default_factory=lambda: {"id": 583231, "login": "octocat", "name": "The Octocat"})
    broken: Response | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)


def _application(github: FakeGitHub) -> FastAPI:
    app = FastAPI()

    @app.get("/login/oauth/authorize")
    async def authorize(request: Request) -> Response:
        asked = dict(request.query_params)
        github.asked.append(asked)
        if asked.get("client_id") != CLIENT_ID:
            return Response("no such application", 404)
        if asked.get("redirect_uri") != github.redirect_uri:
            answer = {"error": "redirect_uri_mismatch", "state": asked.get("state", "")}
            return RedirectResponse(f"{github.redirect_uri}?{urlencode(answer)}", 302)
        code = secrets.token_hex(10)
        github.codes[code] = asked
        answer = {"code": code, "state": asked["state"]}
        return RedirectResponse(f"{github.redirect_uri}?{urlencode(answer)}", 302)

    @app.post("/login/oauth/access_token")
    async def access_token(request: Request) -> Response:
        if github.broken is not None:
            return github.broken
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = github.codes.pop(form.get("code", ""), None)
        known = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if not known or asked is None or not _proves(form.get("code_verifier", ""), asked):
            # GitHub says so with status 200
            return JSONResponse({"error": "bad_verification_code", "error_description": "The code is wrong."})
        token = f"gho_{secrets.token_hex(18)}"
        github.tokens.add(token)
        return JSONResponse({"access_token": token, "token_type": "bearer", "scope": ""})

    @app.get("/api/v3/user")
    async def user(request: Request) -> Response:
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in github.tokens:
            return JSONResponse({"message": "Bad credentials"}, 401)
        return JSONResponse(github.user)

    return app


def _proves(verifier: str, asked: dict[str, str]) -> bool:
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    return asked.get("code_challenge_method") == "S256" and asked.get("code_challenge") == digest


@asynccontextmanager
async def fake_github() -> AsyncIterator[FakeGitHub]:
    listener = socket.create_server(("127.0.0.1", 0))
    github = FakeGitHub(f"http://127.0.0.1:{listener.getsockname()[1]}")
    async with serving(_application(github), listener):
        yield github


class _Server(uvicorn.Server):
    """Stops when it is asked, not at the next of its ticks."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.asked = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are the tests' own

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.asked.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()


@asynccontextmanager
async def serving(app: FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an application on a socket while the block runs."""
    server = _Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listener]))
            try:
                yield
            finally:
                server.asked.set()
    finally:
        listener.close()
