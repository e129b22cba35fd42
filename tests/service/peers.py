"""Plain WebSocket peers, which can also say what an honest one never would."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from sleap_rtc.protocol.ids import new_id, worker_id_from_key
from sleap_rtc.protocol.signaling import SUBPROTOCOL, WorkerInfo, registration_text
from sleap_rtc.signaling.api import AnonymousRoom, ServiceAPI
from tests.service.running import RunningService

WAIT = 30
"""Seconds after which something has not happened."""
# plain HTTP never looks at it, and to read all certificates of the world takes longer than what is asked
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
INFO = WorkerInfo(name="lab-gpu-1", version="0.1.0")


@dataclass(frozen=True)
class Key:
    """A worker's identity, made from one byte so that a test can name it."""

    seed: int

    @property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(bytes([self.seed]) * 32)

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def worker_id(self) -> str:
        return worker_id_from_key(self.public)


class Peer:
    def __init__(self, socket: ClientConnection, welcome: dict[str, Any]) -> None:
        self.socket = socket
        self.welcome = welcome

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind} | fields))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(WAIT):
            heard: dict[str, Any] = json.loads(await self.socket.recv())
        return heard

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        await self.say(kind, **fields)
        return await self.hear()

    async def closed(self) -> int:
        """Read until the service closes; return the code."""
        async with asyncio.timeout(WAIT):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed as error:
                return error.rcvd.code if error.rcvd else 1006

    async def register(self, key: Key, **changes: Any) -> dict[str, Any]:
        text = registration_text(bytes.fromhex(self.welcome["nonce"]), self.welcome["principal"]["room"], key.worker_id)
        fields = {
            "id": 1,
            "public_key": key.public.hex(),
            "signature": key.private.sign(text).hex(),
            "name": "lab-gpu-1",
            "info": INFO.model_dump(),
        }
        return await self.ask("register", **fields | changes)

    async def silent(self) -> bool:
        """Whether nothing was sent to this peer: what it would have heard comes before the answer to a question."""
        return (await self.ask("workers", id=9))["type"] in ("worker_list", "error")


async def open_room(service: RunningService, name: str = "") -> AnonymousRoom:
    return await ServiceAPI(service.url).create_anonymous_room(name)


@asynccontextmanager
async def peer(
    service: RunningService, token: str | None, *, room: str | None = None, **options: Any
) -> AsyncIterator[Peer]:
    query = "" if room is None else f"?room={room}"
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    subprotocols = [Subprotocol(SUBPROTOCOL)]
    options = {"proxy": None, "max_queue": None} | options
    headers |= options.pop("additional_headers", {})
    async with connect(
        service.ws_url + query, additional_headers=headers, subprotocols=subprotocols, **options
    ) as socket:
        yield Peer(socket, json.loads(await socket.recv()))


@asynccontextmanager
async def worker(service: RunningService, room: AnonymousRoom | str, key: Key, **options: Any) -> AsyncIterator[Peer]:
    """A registered worker of an anonymous room, or of the room whose token is given."""
    token = room if isinstance(room, str) else room.worker_token
    async with peer(service, token, **options) as made:
        assert (await made.register(key))["type"] == "registered"
        yield made


def link(number: int = 0) -> str:
    return new_id("link", number.to_bytes(10, "big"))


def http_client(service: RunningService | None = None, **more: Any) -> httpx2.AsyncClient:
    """Somebody who speaks plain HTTP, at a service if one is given."""
    url = service.url if service else ""
    return httpx2.AsyncClient(base_url=url, trust_env=False, timeout=WAIT, verify=_NO_TLS, **more)


@asynccontextmanager
async def browser(service: RunningService) -> AsyncIterator[httpx2.AsyncClient]:
    async with http_client(service) as client:
        yield client
