"""One end of one plain data channel that carries one file: what an engine does without anything of ours on top.

Run as ``python -m tests.bench.plain_channel ENGINE send FILE [--proxy ADDRESS]`` and ``… ENGINE receive FILE --size
BYTES``. Descriptions go over stdin and stdout as JSON lines; the receiver says ``{"done": …}`` once the file is on
the disk. aiortc runs on asyncio's own loop, as its documentation shows it, libwebrtc on uvloop.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tests.bench.proxy_control import ProxyControl

MESSAGE = 64 * 1024
HIGH_WATER = 1024 * 1024
LOW_WATER = 256 * 1024


class PlainChannel(Protocol):
    """What both engines have in common, each called its own way."""

    async def offer(self) -> str: ...
    async def answer(self, offer: str) -> str: ...
    async def accept(self, answer: str) -> None: ...
    def on_open(self, call: Callable[[], None]) -> None: ...
    def on_message(self, call: Callable[[bytes], None]) -> None: ...
    def on_low(self, call: Callable[[], None]) -> None: ...
    def buffered(self) -> int: ...
    def send(self, data: bytes) -> None: ...


class Aiortc:
    def __init__(self) -> None:
        import aiortc

        import sleap_rtc.transport.aiortc_peer  # noqa: F401 - lets aiortc use loopback addresses

        self._description = aiortc.RTCSessionDescription
        self._pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self._channel = self._pc.createDataChannel("file", negotiated=True, id=0)
        self._channel.bufferedAmountLowThreshold = LOW_WATER
        self.send: Callable[[bytes], None] = self._channel.send

    async def offer(self) -> str:
        await self._pc.setLocalDescription()
        return str(self._pc.localDescription.sdp)

    async def answer(self, offer: str) -> str:
        await self._pc.setRemoteDescription(self._description(offer, "offer"))
        return await self.offer()

    async def accept(self, answer: str) -> None:
        await self._pc.setRemoteDescription(self._description(answer, "answer"))

    def on_open(self, call: Callable[[], None]) -> None:
        self._channel.on("open", call)

    def on_message(self, call: Callable[[bytes], None]) -> None:
        self._channel.on("message", call)

    def on_low(self, call: Callable[[], None]) -> None:
        self._channel.on("bufferedamountlow", call)

    def buffered(self) -> int:
        return int(self._channel.bufferedAmount)


class Libwebrtc:
    def __init__(self) -> None:
        import webrtc

        webrtc.allow_loopback()
        self._webrtc = webrtc
        self._pc = webrtc.RTCPeerConnection(webrtc.RTCConfiguration(ice_servers=[]))
        self._channel: Any = self._pc.create_data_channel("file", webrtc.RTCDataChannelInit(negotiated=True, id=0))
        self._channel.buffered_amount_low_threshold = LOW_WATER
        self._gathered = asyncio.Event()
        self._pc.on("icecandidate", lambda event: self._on_candidate(event.candidate))
        self.send: Callable[[bytes], None] = self._channel.send

    def _on_candidate(self, candidate: object) -> None:
        if candidate is None:
            self._gathered.set()

    async def offer(self) -> str:
        await self._pc.set_local_description()
        await self._gathered.wait()
        assert self._pc.local_description
        return self._pc.local_description.sdp

    async def answer(self, offer: str) -> str:
        await self._take("offer", offer)
        return await self.offer()

    async def accept(self, answer: str) -> None:
        await self._take("answer", answer)

    async def _take(self, kind: str, sdp: str) -> None:
        described = self._webrtc.RTCSessionDescriptionInit(self._webrtc.RTCSdpType(kind), sdp)
        await self._pc.set_remote_description(described)

    def on_open(self, call: Callable[[], None]) -> None:
        self._channel.on("open", lambda _: call())

    def on_message(self, call: Callable[[bytes], None]) -> None:
        self._channel.on("message", lambda event: call(event.data))

    def on_low(self, call: Callable[[], None]) -> None:
        self._channel.on("bufferedamountlow", lambda _: call())

    def buffered(self) -> int:
        return int(self._channel.buffered_amount)


ENGINES: dict[str, type[Aiortc] | type[Libwebrtc]] = {"aiortc": Aiortc, "libwebrtc": Libwebrtc}


async def send(channel: PlainChannel, path: Path, proxy: "ProxyControl | None") -> None:
    opened, room = asyncio.Event(), asyncio.Event()
    channel.on_open(opened.set)
    channel.on_low(room.set)
    _say(sdp=_cut(await channel.offer(), proxy))
    await channel.accept(_routed((await _hear())["sdp"], proxy))
    await opened.wait()
    with path.open("rb") as file:
        while data := file.read(MESSAGE):
            while channel.buffered() > HIGH_WATER - MESSAGE:
                room.clear()
                await room.wait()
            channel.send(data)
    await _hear()  # closing would drop what is queued


async def receive(channel: PlainChannel, path: Path, size: int) -> None:
    arrived = asyncio.Event()
    left = size
    with path.open("wb") as file:

        def take(data: bytes) -> None:
            nonlocal left
            file.write(data)
            left -= len(data)
            if left == 0:
                arrived.set()

        channel.on_message(take)
        _say(ready=True)
        _say(sdp=await channel.answer((await _hear())["sdp"]))
        await arrived.wait()
        file.flush()
        os.fsync(file.fileno())
    _say(done=size)
    await _hear()


def _cut(offer: str, proxy: "ProxyControl | None") -> str:
    if proxy is None:
        return offer
    # imported here and below: without a proxy the program is to start as fast as a small one does
    from tests.bench.proxied import nameless

    return nameless(offer)


def _routed(answer: str, proxy: "ProxyControl | None") -> str:
    if proxy is None:
        return answer
    from tests.bench.proxied import candidates_of, chosen_address, nameless, through

    address = chosen_address(candidates_of(answer))
    assert address
    return f"{nameless(answer)}a={through(proxy, address)}\r\na=end-of-candidates\r\n"


def _proxy_at(address: str) -> "ProxyControl":
    from tests.bench.proxy_control import ProxyControl

    return ProxyControl(address)


def _say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _hear() -> dict[str, Any]:
    line = await asyncio.to_thread(sys.stdin.readline)
    if not line:
        os._exit(1)  # whoever measures is gone
    message: dict[str, Any] = json.loads(line)
    return message


def _run(engine: str, work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()
        os._exit(0)  # nothing is left to do, and an engine takes its time to close

    if engine == "libwebrtc":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())


def main() -> None:
    """Be one end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("role", choices=["send", "receive"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--proxy")
    options = parser.parse_args()
    proxy = _proxy_at(options.proxy) if options.proxy else None
    make = ENGINES[options.engine]
    if options.role == "send":
        _run(options.engine, lambda: send(make(), options.file, proxy))
    else:
        _run(options.engine, lambda: receive(make(), options.file, options.size))


if __name__ == "__main__":
    main()
