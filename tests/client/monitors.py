"""SLEAP's own monitor as far as a bridge can tell: the sockets it binds, and how it decodes what arrives there."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import jsonpickle
import zmq
import zmq.asyncio

Message = dict[str, Any]
STOP = b'{"command": "stop"}'


def decoded(text: str, *, keys: bool = False) -> Message:
    """What the monitor makes of a message; `keys` is off today and on in the next jsonpickle, which says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        message: Message = jsonpickle.decode(text, keys=keys)
    return message


class BoundMonitor:
    """A monitor that is open.

    Attributes:
        publish: the port where it listens.
        controller: the port where it says stop.
        messages: what it was told so far.
    """

    def __init__(self, context: zmq.asyncio.Context, publish: int, controller: int) -> None:
        self._progress = context.socket(zmq.SUB)
        self._progress.subscribe("")
        self.publish = bound(self._progress, publish)
        self._control = context.socket(zmq.PUB)
        self.controller = bound(self._control, controller)
        self.messages: list[Message] = []

    async def next(self) -> Message:
        """The next message, decoded as the monitor does."""
        text = await self._progress.recv_string()
        message = decoded(text)
        self.messages.append(message)
        return message

    async def until(self, enough: Callable[[Message], bool]) -> list[Message]:
        """Listen until a message comes; return all there were so far."""
        while not enough(await self.next()):
            pass
        return self.messages

    async def until_end(self, trainings: int = 1) -> list[Message]:
        """Listen until so many trainings have ended."""
        return await self.until(lambda _: [each["event"] for each in self.messages].count("train_end") == trainings)

    async def say(self, *parts: bytes) -> None:
        """Say something on the controller port; it is heard by whoever is connected by now."""
        await self._control.send_multipart(parts)

    async def stop(self) -> None:
        """Press the stop button."""
        await self.say(STOP)

    async def say_until(self, part: bytes, heard: asyncio.Event) -> None:
        """Say it again and again, for what is said before anybody is connected is lost."""
        while not heard.is_set():
            await self.say(part)
            try:
                await asyncio.wait_for(heard.wait(), 0.05)
            except TimeoutError:
                continue

    def close(self) -> None:
        self._progress.close(linger=0)
        self._control.close(linger=0)


def bound(socket: zmq.asyncio.Socket, port: int) -> int:
    """Bind as the monitor does; port 0 is any free one."""
    if not port:
        return socket.bind_to_random_port("tcp://127.0.0.1")
    socket.bind(f"tcp://127.0.0.1:{port}")
    return port


@asynccontextmanager
async def open_monitor(publish: int = 0, controller: int = 0) -> AsyncIterator[BoundMonitor]:
    """Open a monitor, on these ports if given."""
    context = zmq.asyncio.Context()
    monitor = BoundMonitor(context, publish, controller)
    try:
        yield monitor
    finally:
        monitor.close()
        context.term()
