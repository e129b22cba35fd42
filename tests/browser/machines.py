"""Workers that are online and run nothing: what a list of workers shows of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from sleap_rtc.protocol.signaling import SUBPROTOCOL, WorkerInfo, registration_text
from tests.service.peers import Key


class Machine:
    """A worker's connection to the service."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def register(self, key: Key, info: WorkerInfo) -> None:
        """Prove the key, so that clients see this worker."""
        welcome = json.loads(self._socket.recv(30))
        text = registration_text(bytes.fromhex(welcome["nonce"]), welcome["principal"]["room"], key.worker_id)
        proof = {"public_key": key.public.hex(), "signature": key.private.sign(text).hex()}
        self._say("register", id=1, name=info.name, info=info.model_dump(), **proof)
        assert json.loads(self._socket.recv(30))["type"] == "registered"

    def update(self, info: WorkerInfo) -> None:
        """Say that something has changed."""
        self._say("update", info=info.model_dump())

    def _say(self, kind: str, **fields: Any) -> None:
        self._socket.send(json.dumps({"type": kind} | fields))


@contextmanager
def machine(base: str, token: str, info: WorkerInfo, seed: int = 1) -> Iterator[Machine]:
    """A worker that is online.

    Args:
        base: the service's address.
        token: of its room.
        info: what it says of itself.
        seed: of its key, so that each is another worker.
    """
    with connect(
        base.replace("http", "ws", 1) + "/api/v1/ws",
        additional_headers={"Authorization": f"Bearer {token}"},
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        proxy=None,
    ) as socket:
        made = Machine(socket)
        made.register(Key(seed), info)
        yield made
