"""Providers on loopback, and a service that knows them."""

import asyncio
import json
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.service.fake_github import CLIENT_ID, CLIENT_SECRET, FakeGitHub, serving
from tests.service.peers import http_client
from tests.service.running import RunningService, running_service

SECRET = "q8Zk3vT1xN5bW7yR2mJ4"
CLIENT = "sleap-rtc-at-the-lab"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def github_settings(github: FakeGitHub, **changes: Any) -> dict[str, Any]:
    given = {"kind": "github", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    return given | {"url": github.url, "api_url": f"{github.url}/api/v3"} | changes


def oidc_settings(issuer: str, **changes: Any) -> dict[str, Any]:
    given = {"kind": "oidc", "id": "uni", "label": "The University", "issuer": issuer}
    return given | {"client_id": CLIENT, "client_secret": SECRET} | changes


@asynccontextmanager
async def service_with(tmp_path: Path, *providers: dict[str, Any], **settings: Any) -> AsyncIterator[RunningService]:
    """A service whose providers send browsers back to it: so it must know its own address before it starts."""
    port = free_port()
    given = {"port": port, "public_url": f"http://127.0.0.1:{port}", "providers": list(providers)} | settings
    async with running_service(tmp_path, **given) as service:
        yield service


@asynccontextmanager
async def oidc_provider(*users: dict[str, Any]) -> AsyncIterator[str]:
    """``oidc-provider-mock`` as a program of its own; yields its issuer."""
    port = free_port()
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        "--port",
        str(port),
        "--require-nonce",
        "true",
    ]
    for user in users:
        command += ["--user-claims", json.dumps(user)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    issuer = f"http://127.0.0.1:{port}"
    try:
        await _answers(issuer, process)
        yield issuer
    finally:
        process.terminate()
        await process.wait()


async def _answers(url: str, process: asyncio.subprocess.Process) -> None:
    async with http_client() as client, asyncio.timeout(60):
        while True:
            assert process.returncode is None
            try:
                await client.get(url)
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


@dataclass
class LyingProvider:
    """An OIDC provider whose every word can be changed.

    Attributes:
        url: its issuer.
        discovery: changes to what it says of itself.
        claims: changes to its ID tokens; a value of None leaves a claim out.
        key: what it signs with; its published key stays `published`.
        nonce: what the browser was sent with.
        token: a token endpoint's whole answer, instead.
    """

    url: str
    published: RSAKey
    key: RSAKey
    discovery: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    nonce: str = ""
    algorithm: str = "RS256"
    token: Callable[[], Response] | None = None

    def honest(self) -> None:
        """Lie no more."""
        self.discovery, self.claims, self.userinfo, self.token = {}, {}, {}, None
        self.key = self.published

    def id_token(self) -> str:
        now = int(time.time())
        said = {"iss": self.url, "aud": CLIENT, "sub": "u-1", "iat": now, "exp": now + 300, "name": "Ada"}
        said |= {"nonce": self.nonce} | self.claims
        header = {"alg": self.algorithm, "kid": self.published.kid}
        claims = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


def _application(liar: LyingProvider) -> FastAPI:
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> Any:
        said = {
            "issuer": liar.url,
            "authorization_endpoint": f"{liar.url}/authorize",
            "token_endpoint": f"{liar.url}/token",
            "jwks_uri": f"{liar.url}/jwks",
            "userinfo_endpoint": f"{liar.url}/userinfo",
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return {name: value for name, value in (said | liar.discovery).items() if value is not None}

    @app.get("/jwks")
    async def jwks() -> Any:
        return {"keys": [liar.published.as_dict(private=False)]}

    @app.post("/token")
    async def token(_request: Request) -> Response:
        if liar.token is not None:
            return liar.token()
        answer = {"access_token": secrets.token_hex(16), "token_type": "Bearer", "id_token": liar.id_token()}
        return JSONResponse(answer)

    @app.get("/userinfo")
    async def userinfo() -> Any:
        return liar.userinfo

    return app


@asynccontextmanager
async def lying_provider() -> AsyncIterator[LyingProvider]:
    listener = socket.create_server(("127.0.0.1", 0))
    key = RSAKey.generate_key(2048, auto_kid=True)
    liar = LyingProvider(f"http://127.0.0.1:{listener.getsockname()[1]}", key, key)
    async with serving(_application(liar), listener):
        yield liar
