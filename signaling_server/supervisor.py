"""The parent of several processes of a service: it holds the socket, starts them, and starts again what dies."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from signaling_server.backplane.parts import check
from signaling_server.db import upgrade
from signaling_server.inheritance import READY, VARIABLE, Inherited
from signaling_server.logs import set_up
from signaling_server.operating import first_link
from signaling_server.place import Listening, address, listen_at
from signaling_server.settings import Settings
from sleap_rtc.errors import ConfigError, ConflictError

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
"""How long a process may take until it accepts connections."""
STOP_SECONDS = 15.0
"""How long one that was asked to stop may take: its peers are told, and open requests are finished."""
STEADY_SECONDS = 10.0
"""Who lives this long did not fail at its start."""
MOST_SECONDS = 30.0
"""The longest pause before one is started again that dies at its start each time."""


class _NotStartedError(Exception):
    pass


@dataclass(eq=False)
class _Child:
    """One process.

    Attributes:
        process: it.
        since: when it began to serve, on the loop's clock.
        dismissed: whether it was asked to end.
    """

    process: asyncio.subprocess.Process
    since: float
    dismissed: bool = False

    def dismiss(self) -> None:
        """Ask it to end."""
        self.dismissed = True
        if self.process.returncode is None:
            self.process.terminate()

    async def gone(self) -> None:
        """Wait until it has ended, and no longer than it may take."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            logger.warning("process %s did not stop, and was ended", self.process.pid)
            self.process.kill()
            await self.process.wait()


def pause_after(failures: int) -> float:
    """Seconds until the next try to start one that has failed so often, one after another."""
    return min(MOST_SECONDS, 2.0 ** min(failures - 1, 10)) if failures else 0.0


class Team:
    """Processes that accept from one socket.

    Args:
        number: how many.
        listener: the socket.
        command: starts one of them.
    """

    def __init__(self, number: int, listener: socket.socket, command: Sequence[str]) -> None:
        self._number = number
        self._listener = listener
        self._command = command
        self._children: list[_Child] = []
        self._leash = os.pipe()
        self._tasks: asyncio.TaskGroup | None = None
        self._ended = asyncio.Event()
        self._rolling = asyncio.Lock()
        self._asked = False

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`.

        Args:
            on_ready: called once all accept connections.

        Raises:
            ConflictError: if one of them does not start; it has said why.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                async with self._rolling:
                    await self._start_all()
                on_ready()
                await self._ended.wait()
                await self._end_all()
        except BaseExceptionGroup as group:
            others = group.split(_NotStartedError)[1]
            if others is not None:
                raise others from None
            raise ConflictError(
                "A process of the service ended before it was ready; the lines above say why. Nothing runs now."
            ) from group
        finally:
            for end in self._leash:
                os.close(end)

    def stop(self) -> None:
        """Let all of them come to their end."""
        self._ended.set()

    def renew(self) -> None:
        """Put a new process in the place of each, one after another: the socket is accepted from all the time.

        Asked again meanwhile, it does so once more: the settings may be others by then.
        """
        if self._tasks is not None and not self._ended.is_set() and not self._asked:
            self._asked = True
            self._tasks.create_task(self._renew_all())

    async def _start_all(self) -> None:
        results = await asyncio.gather(*(self._add() for _ in range(self._number)), return_exceptions=True)
        failed = [each for each in results if isinstance(each, BaseException)]
        if failed:
            await self._end_all()
            raise failed[0]

    async def _renew_all(self) -> None:
        async with self._rolling:
            self._asked = False
            logger.info("all processes are replaced, one after another")
            for child in list(self._children):
                if child not in self._children or self._ended.is_set():
                    continue  # it has died, and another one is in its place already
                try:
                    await self._add()
                except _NotStartedError:
                    logger.error("the new process did not start: the old ones stay")
                    break
                child.dismiss()
                await child.gone()
            self._dismiss_extra()

    def _dismiss_extra(self) -> None:
        # of one that died in the moment of its replacement there are two
        for extra in [child for child in self._children if not child.dismissed][self._number :]:
            extra.dismiss()

    async def _end_all(self) -> None:
        self._ended.set()
        for child in self._children:
            child.dismiss()
        await asyncio.gather(*(child.gone() for child in self._children))

    async def _add(self) -> None:
        child = await self._start()
        self._children.append(child)
        assert self._tasks is not None  # noqa: S101 - nothing is started before
        self._tasks.create_task(self._watch(child))
        if self._ended.is_set():
            child.dismiss()

    async def _watch(self, child: _Child) -> None:
        code = await child.process.wait()
        self._children.remove(child)
        failures = 0 if asyncio.get_running_loop().time() - child.since > STEADY_SECONDS else 1
        while not (child.dismissed or self._ended.is_set()):
            logger.error("process %s ended (%s); another one is started", child.process.pid, code)
            await self._pause(failures)
            try:
                await self._add()
            except _NotStartedError:
                failures += 1
            else:
                if not self._rolling.locked():  # else whoever replaces them all looks at the end
                    self._dismiss_extra()
                return

    async def _pause(self, failures: int) -> None:
        try:
            async with asyncio.timeout(pause_after(failures)):
                await self._ended.wait()
        except TimeoutError:
            pass

    async def _start(self) -> _Child:
        status, theirs = os.pipe()
        given = Inherited(self._listener.fileno(), theirs, self._leash[0])
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                env=os.environ | {VARIABLE: str(given)},
                pass_fds=given,
                process_group=0,  # Ctrl-C is for the parent, which asks them
            )
        except OSError as error:  # no memory, or the program is just being installed: no reason to end the others
            os.close(status)
            logger.error("a process could not be started: %s", error.strerror)
            raise _NotStartedError from error
        finally:
            os.close(theirs)
        async with _reading(status) as said:
            try:
                async with asyncio.timeout(START_SECONDS):
                    ready = await said.read(len(READY)) == READY
            except TimeoutError:
                ready = False
        if not ready:
            if process.returncode is None:
                process.kill()
            await process.wait()
            raise _NotStartedError
        logger.info("process %s serves", process.pid)
        return _Child(process, asyncio.get_running_loop().time())


@asynccontextmanager
async def _reading(descriptor: int) -> AsyncIterator[asyncio.StreamReader]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    try:
        yield reader
    finally:
        transport.close()


async def supervise(settings: Settings, on_ready: Callable[[Listening], None] | None = None) -> None:
    """Run the service in `settings.workers` processes until SIGINT or SIGTERM; SIGHUP replaces them.

    Each process is started by this very command line, and reads the settings anew: a replaced one has new settings,
    and the code that is installed by then.

    Args:
        settings: port 0 takes a free port.
        on_ready: called once connections are accepted.

    Raises:
        SleapRTCError: as `signaling_server.server.running` does.
    """
    if os.name != "posix":
        raise ConfigError("Several processes share a socket, which this system does not allow. Leave --workers out.")
    set_up(settings)
    listener = listen_at(settings)
    try:
        await upgrade(settings.database_url)
        await check(settings.redis_url or "")
        url = address(settings, listener)
        ready = Listening(url, first_link=await first_link(settings, url))
        team = Team(settings.workers, listener, [sys.executable, *sys.orig_argv[1:]])
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, team.stop)
        loop.add_signal_handler(signal.SIGHUP, team.renew)
        await team.run(lambda: None if on_ready is None else on_ready(ready))
    finally:
        listener.close()
