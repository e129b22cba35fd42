"""Faults that a process of a test brings on itself, and what it moved until then.

Told by environment variables that nothing but these processes reads. Counters lie in a file that is mapped into
memory, so they say what happened up to the moment of a ``kill -9``.
"""

import mmap
import os
import signal
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.jobs import JobSubmit
from sleap_rtc.session.lanes import Lanes
from sleap_rtc.session.requests import Requests
from sleap_rtc.session.session import Session

METER = "SLEAP_RTC_TEST_METER"
DIE_SENT, DIE_RECEIVED = "SLEAP_RTC_TEST_DIE_SENT", "SLEAP_RTC_TEST_DIE_RECEIVED"
DIE_AT_SUBMIT = "SLEAP_RTC_TEST_DIE_AT_SUBMIT"
"""``written``: the job's id is written down, and nothing of it sent; ``answered``: it is accepted, and nobody told."""
CLOCK_JUMP, CLOCK_AT = "SLEAP_RTC_TEST_CLOCK_JUMP", "SLEAP_RTC_TEST_CLOCK_AT"
_COUNTERS = struct.Struct("=QQ")


class Counters:
    """Bytes that a process handed to its lanes, and bytes that came over them.

    Args:
        path: the file they lie in; made where missing, and added to where it is there.
    """

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_COUNTERS.size)
            self._memory = mmap.mmap(file.fileno(), _COUNTERS.size)

    @property
    def sent(self) -> int:
        """Bytes handed to lanes."""
        return self._read()[0]

    @property
    def received(self) -> int:
        """Bytes that came."""
        return self._read()[1]

    def add(self, sent: int, received: int) -> None:
        """Count bytes."""
        before = self._read()
        _COUNTERS.pack_into(self._memory, 0, before[0] + sent, before[1] + received)

    def _read(self) -> tuple[int, int]:
        sent, received = _COUNTERS.unpack_from(self._memory)
        return sent, received


class Faults:
    """What is to happen, and when, in bytes moved by this process.

    Args:
        environment: where it is told.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._counters = Counters(Path(environment[METER])) if METER in environment else None
        self._sent = self._received = 0
        self._die_sent = int(environment.get(DIE_SENT, 2**62))
        self._die_received = int(environment.get(DIE_RECEIVED, 2**62))
        self._die_at_submit = environment.get(DIE_AT_SUBMIT, "")
        self._jump, self._jump_at = float(environment.get(CLOCK_JUMP, 0)), int(environment.get(CLOCK_AT, 0))

    def install(self) -> None:
        """Bring them on as soon as enough has moved."""
        send, take = Lanes.send, Session.take_frame

        async def send_counted(lanes: Lanes, number: int, frames: Iterable[bytes]) -> None:
            await send(lanes, number, self._counted(frames))

        def take_counted(session: Session, lane: int, data: str | bytes) -> None:
            self._count(0, len(data))
            take(session, lane, data)

        replaced: tuple[tuple[type, str, object], ...] = (
            (Lanes, "send", send_counted),
            (Session, "take_frame", take_counted),
        )
        for kind, name, counted in replaced:
            setattr(kind, name, counted)
        if self._die_at_submit:
            self._patch_submit()
        if self._jump:
            self._patch_clock()

    def _patch_submit(self) -> None:
        ask = Requests.ask

        async def ask_and_die(requests: Requests, message: Message, answer: type[Message], limit: float) -> Message:
            if isinstance(message, JobSubmit) and self._die_at_submit == "written":
                os.kill(os.getpid(), signal.SIGKILL)
            reply = await ask(requests, message, answer, limit)
            if isinstance(message, JobSubmit):
                os.kill(os.getpid(), signal.SIGKILL)
            return reply

        Requests.ask = ask_and_die  # type: ignore[method-assign, assignment]

    def _counted(self, frames: Iterable[bytes]) -> Iterator[bytes]:
        for frame in frames:
            self._count(len(frame), 0)
            yield frame

    def _count(self, sent: int, received: int) -> None:
        self._sent += sent
        self._received += received
        if self._counters:
            self._counters.add(sent, received)
        if self._sent >= self._die_sent or self._received >= self._die_received:
            os.kill(os.getpid(), signal.SIGKILL)

    def _patch_clock(self) -> None:
        # each looks the function up when it calls it
        now, now_ns = time.time, time.time_ns
        time.time = lambda: now() + self._jumped()
        time.time_ns = lambda: now_ns() + int(self._jumped() * 1e9)

    def _jumped(self) -> float:
        return self._jump if self._sent + self._received >= self._jump_at else 0.0


def install() -> None:
    """Bring on what this process's environment tells."""
    Faults(os.environ).install()
