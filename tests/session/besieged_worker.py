"""A worker in a process of its own, to be attacked and measured: JSON lines on stdin and stdout are its service.

Run as ``python -m tests.session.besieged_worker ENGINE``. It accepts every offer, answers one kind of request, and says
of each link why it ended.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.jobs import JobShow
from sleap_rtc.protocol.link import Done
from sleap_rtc.protocol.signaling import SIGNALING, Offer, Reject
from sleap_rtc.session.link import LinkSettings, accept, dial
from sleap_rtc.session.session import Session
from sleap_rtc.session.switchboard import Switchboard
from sleap_rtc.transport import available_engines
from tests.session.linked import CLIENT
from tests.session.malicious_service import WORKER, stamped
from tests.transport.meeting import make_peer

TIMES = Timeouts(gathering=0.2, bye=0.2)


class Lines:
    """A service that is a pair of pipes."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def write(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    async def send(self, message: Message) -> None:
        self.write(SIGNALING.encode(message))

    async def receive(self) -> Message:
        message = SIGNALING.decode((await self._reader.readline()).decode())
        assert message is not None
        return message


class Besieged(Lines):
    """The near side of the process: what dials it, and what it says of links that ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        super().__init__(process.stdout)
        self._process = process
        self.pid = process.pid
        self.board = Switchboard(self)
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    def write(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())

    async def send(self, message: Message) -> None:
        body = json.loads(SIGNALING.encode(message))
        self.write(json.dumps(stamped(body) if body["type"] == "offer" else body))

    async def receive(self) -> Message:
        message = await super().receive()
        if isinstance(message, Reject) and message.error:
            self.ended.put_nowait(message.error.sentence)
        return message

    @asynccontextmanager
    async def dialled(self, engine: str) -> AsyncIterator[Session]:
        """A proven link to it."""
        settings = LinkSettings(lambda: make_peer(engine, TIMES), TIMES)
        async with dial(self.board, CLIENT, WORKER.worker_id, settings) as session:
            yield session


@asynccontextmanager
async def besieged_worker(engine: str) -> AsyncIterator[Besieged]:
    """Start the process, and end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.session.besieged_worker", engine),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    worker = Besieged(process)
    listening = asyncio.create_task(worker.board.run())
    try:
        yield worker
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        process.kill()
        await process.wait()
        process.stdin.close()


async def show(session: Session, message: Message) -> Message:
    return Done()


async def serve(board: Switchboard, offer: Offer, settings: LinkSettings) -> None:
    try:
        async with accept(board, offer, WORKER, settings) as session:
            reason = await session.wait_closed()
    except SleapRTCError as error:
        reason = error
    await board.send(Reject(link=offer.link, error=ErrorInfo.of(reason)))


async def main(engine: str) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    board = Switchboard(Lines(reader))
    settings = LinkSettings(lambda: make_peer(engine, TIMES), TIMES, handlers={JobShow: show})
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(board.run())
        while True:
            tasks.create_task(serve(board, await board.offers.get(), settings))


if __name__ == "__main__":
    available_engines()  # imported before the loop runs, which they would hold up
    asyncio.run(main(sys.argv[1]))
