"""Peers of a service, thousands of them in one process: they come in, stay, and talk when they are told to.

Run as ``python -m tests.bench.crowd_process URL``. Takes an object a line and answers each with one:

- ``{"join": [room, …], "workers": N, "clients": N, "network": N}``: of each room so many workers with keys of their
  own, and so many clients; a room is ``{"room", "worker", "client"}``, its id and both credentials. They come from
  addresses of the loopback network of that number. Answers ``{"joined", "seconds"}``.
- ``{"talk": RATE, "seconds": S}``: the clients dial the workers again and again, at so many messages a second that the
  service passes on. Answers ``{"passed", "seconds", "waits", "late"}``: for each message the seconds from when it was
  due to its arrival, and how late this process itself was in sending it.
- ``{"here": true}``: answers ``{"here"}``: how many are still connected.
"""

import asyncio
import itertools
import json
import resource
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.protocol import State
from websockets.typing import Subprotocol

from sleap_rtc.cli.running import run_async
from sleap_rtc.protocol.ids import worker_id_from_key
from sleap_rtc.protocol.signaling import (
    SIGNALING,
    SUBPROTOCOL,
    GpuInfo,
    Register,
    Registered,
    Welcome,
    WorkerInfo,
    registration_text,
)
from tests.bench.conversation import Pair, Peer

AT_ONCE = 32
"""Peers that come in at the same time."""
AN_ADDRESS = 40
"""Peers from one address; the service's limit is 50."""
INFO = WorkerInfo(
    name="lab-gpu-1", hostname="node17.lab.example", version="0.1.0", sleap_nn="0.1.0", engine="libwebrtc", slots=2,
    gpus=[GpuInfo(name="NVIDIA RTX A6000", memory_mb=49140, uuid=f"GPU-5f3c1a9e-7d24-{n:016x}") for n in range(2)],
)  # fmt: skip


class Crowd:
    """The peers of this process.

    Args:
        url: the service's WebSocket.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._sockets: list[ClientConnection] = []
        self._pairs: list[Pair] = []

    async def join(self, rooms: list[dict[str, str]], *, workers: int, clients: int, network: int) -> dict[str, Any]:
        """Let all peers of these rooms come in, `AT_ONCE` at a time."""
        turn = asyncio.Semaphore(AT_ONCE)
        addresses = _addresses(network)

        async def worker(room: dict[str, str]) -> Peer:
            async with turn:
                return await self._worker(room, next(addresses))

        async def client(room: dict[str, str]) -> Peer:
            async with turn:
                return (await self._connected(room["client"], next(addresses), f"?room={room['room']}"))[0]

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            coming = [
                ([tasks.create_task(client(room)) for _ in range(clients)],
                 [tasks.create_task(worker(room)) for _ in range(workers)])
                for room in rooms
            ]  # fmt: skip
        seconds = time.perf_counter() - began
        for ours, theirs in coming:
            self._pairs += [Pair(a.result(), b.result()) for a, b in zip(ours, theirs, strict=False)]
        return {"joined": len(rooms) * (workers + clients), "seconds": seconds}

    async def talk(self, rate: float, seconds: float) -> dict[str, Any]:
        """Talk at a steady rate; what finds no pair at leisure waits for one, and counts from when it was due."""
        free = deque(self._pairs)
        news = asyncio.Event()
        waits: list[float] = []
        late: list[float] = []

        def arrived(pair: Pair, due: float) -> None:
            waits.append(time.perf_counter() - due)
            free.append(pair)
            news.set()

        async with asyncio.TaskGroup() as tasks:
            listening = [tasks.create_task(pair.listen(arrived)) for pair in self._pairs]
            began = due = time.perf_counter()
            sent = 0
            while due < began + seconds:
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                held = not free
                while not free:
                    news.clear()
                    await news.wait()
                if not held:
                    late.append(time.perf_counter() - due)
                await free.popleft().say(due)
                sent += 1
                due = began + sent / rate
            while len(free) < len(self._pairs):
                news.clear()
                await news.wait()
            took = time.perf_counter() - began
            for task in listening:
                task.cancel()
        return {"passed": sent, "seconds": took, "waits": waits, "late": late}

    def here(self) -> dict[str, Any]:
        """How many are connected."""
        return {"here": sum(socket.state is State.OPEN for socket in self._sockets)}

    async def _worker(self, room: dict[str, str], address: str) -> Peer:
        peer, welcome = await self._connected(room["worker"], address)
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        worker_id = worker_id_from_key(public)
        text = registration_text(bytes.fromhex(welcome.nonce), welcome.principal.room, worker_id)
        register = Register(id=1, public_key=public.hex(), signature=key.sign(text).hex(), name="", info=INFO)
        await peer.socket.send(SIGNALING.encode(register))
        answer = SIGNALING.decode(str(await peer.socket.recv()))
        if not isinstance(answer, Registered):
            raise RuntimeError(f"a worker was not registered: {answer}")
        return Peer(peer.socket, worker_id)

    async def _connected(self, credential: str, address: str, query: str = "") -> tuple[Peer, Welcome]:
        socket = await connect(
            self._url + query,
            additional_headers={"Authorization": f"Bearer {credential}"},
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None, proxy=None, open_timeout=60, local_addr=(address, 0),
        )  # fmt: skip
        self._sockets.append(socket)
        welcome = SIGNALING.decode(str(await socket.recv()))
        if not isinstance(welcome, Welcome):
            raise RuntimeError(f"a peer was not welcomed: {welcome}")
        return Peer(socket), welcome


def _addresses(network: int) -> Iterator[str]:
    for number in itertools.count():
        third, fourth = divmod(number // AN_ADDRESS, 250)
        yield f"127.{network}.{third}.{fourth + 1}"


async def main(url: str) -> None:
    """Do what the lines of standard input say, to their end."""
    crowd = Crowd(url)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        if "join" in asked:
            answer = await crowd.join(asked.pop("join"), **asked)
        elif "talk" in asked:
            answer = await crowd.talk(asked["talk"], asked["seconds"])
        else:
            answer = crowd.here()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    run_async(main(sys.argv[1]))
