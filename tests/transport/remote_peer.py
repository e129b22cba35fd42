"""A peer in a process of its own, to be killed or measured: JSON lines on stdin and stdout carry its signaling.

Run as ``python -m tests.transport.remote_peer ENGINE MODE``; it answers the offer it reads. `MODE` is ``echo`` (send
every message back), ``sink`` (read all) or ``flood`` (send 64 KiB messages without end).
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost
from sleap_rtc.protocol.sdp import Candidate
from sleap_rtc.transport import Channel, Peer, available_engines, new_peer

RealEngine = Literal["libwebrtc", "aiortc"]


class RemotePeer:
    """The near side of the process: an offering peer here, connected to the one over there."""

    def __init__(self, peer: Peer, channel: Channel, process: asyncio.subprocess.Process) -> None:
        self.peer = peer
        self.channel = channel
        self.process = process

    async def kill(self) -> None:
        """As ``kill -9`` does it: no word to the other side."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def remote_peer(
    engine: RealEngine, mode: str, *, local: RealEngine, timeouts: Timeouts
) -> AsyncIterator[RemotePeer]:
    """Start the process, connect to it, and end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.transport.remote_peer", engine, mode),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with new_peer(local, timeouts=timeouts) as peer, asyncio.TaskGroup() as group:
            _write(process.stdin, {"sdp": await peer.create_offer()})
            tasks = [
                group.create_task(_pump_out(peer, process.stdin)),
                group.create_task(_pump_in(peer, process.stdout)),
            ]
            yield RemotePeer(peer, await peer.wait_open(), process)
            for task in tasks:
                task.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # without this the pipe's transport is collected unclosed
        process.stdin.close()


def _write(pipe: asyncio.StreamWriter, line: dict[str, object]) -> None:
    pipe.write(json.dumps(line).encode() + b"\n")


async def _pump_out(peer: Peer, pipe: asyncio.StreamWriter) -> None:
    async for candidate in peer.candidates():
        _write(pipe, {"candidate": candidate.model_dump()})


async def _pump_in(peer: Peer, pipe: asyncio.StreamReader) -> None:
    while line := await pipe.readline():
        message = json.loads(line)
        if "sdp" in message:
            await peer.accept_answer(message["sdp"])
        else:
            await peer.add_candidate(Candidate.model_validate(message["candidate"]))


async def _serve(channel: Channel, mode: str) -> None:
    while mode == "flood":
        await channel.send(bytes(channel.max_message_size))
    while True:
        data = await channel.receive()
        if mode == "echo":
            await channel.send(data)


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def _answer(peer: Peer, reader: asyncio.StreamReader) -> None:
    while line := await reader.readline():
        message = json.loads(line)
        if "sdp" in message:
            _say({"sdp": await peer.accept_offer(message["sdp"])})
        else:
            await peer.add_candidate(Candidate.model_validate(message["candidate"]))


async def _tell(peer: Peer) -> None:
    async for candidate in peer.candidates():
        _say({"candidate": candidate.model_dump()})


async def main(engine: RealEngine, mode: str) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with new_peer(engine) as peer, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_answer(peer, reader)), group.create_task(_tell(peer))]
        try:
            await _serve(await peer.wait_open(), mode)
        except ConnectionLost:
            for task in tasks:
                task.cancel()


if __name__ == "__main__":
    available_engines()  # imported before the loop runs, which they would hold up
    asyncio.run(main("aiortc" if sys.argv[1] == "aiortc" else "libwebrtc", sys.argv[2]))
