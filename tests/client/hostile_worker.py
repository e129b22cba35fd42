"""A worker that says what no honest one would, and what a user of the command line then sees."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from sleap_rtc.cli.following import Following, models_into
from sleap_rtc.cli.output import fail
from sleap_rtc.cli.progress import make_display
from sleap_rtc.client.link import WorkerLink
from sleap_rtc.client.pending import PendingJobs
from sleap_rtc.client.remote import Place, RemoteWorker
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import ChunksGet, FileGet, ManifestGet
from sleap_rtc.protocol.jobs import JobCommand, JobList, JobResume, JobShow, JobSubmit, JobWatch
from sleap_rtc.protocol.link import Done
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.session.streams import SendStream
from tests.session.linked import CLIENT, STEADY, accepting, meeting

JOB = "j_0123456789"
ATTACK = "evil\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b1;1H\x00\x08\r\u202e\u2066name"
"""A name that writes to the clipboard, wipes the screen, goes back, and reads from right to left."""
SUMMARY: dict[str, Any] = {"job": JOB, "name": "package", "state": "running", "submitted": 0, "owner": "ada"}
_RICHS_OWN = re.compile(r"\x1b\[(?:\d*(?:;\d+)*m|\?25[lh]|1A|2K)|\r?\n|\r")
"""What rich says to a terminal of its own: colours, the cursor hidden and shown, a line up, a line emptied."""

Answers = Mapping[type[Message], Callable[[Session, Any], Awaitable[Message]]]


def raw(kind: str, **fields: Any) -> Message:
    """A message of a known type with whatever fields."""
    config = ConfigDict(extra="allow", ser_json_inf_nan="constants")
    made = type("Raw", (Message,), {"TYPE": kind, "model_config": config, "__module__": __name__})
    message: Message = made(**fields)
    return message


def event(body: Any, seq: Any = 1, **more: Any) -> dict[str, Any]:
    return {"seq": seq, "t": 0, "run": None, "body": body} | more


class Telling:
    """Answers every question about a job; to a watch it tells these events, then this log, then that it is over."""

    def __init__(
        self, events: Sequence[Any] = (), log: Sequence[str] = (), summary: Mapping[str, Any] = SUMMARY
    ) -> None:
        self._events = events
        self._log = log
        self._summary = summary
        self.refusals: list[SleapRTCError] = []

    @property
    def handlers(self) -> Answers:
        answers: Answers = dict.fromkeys((JobShow, JobSubmit, JobResume), self._accept)
        return {**answers, JobWatch: self._watch, JobCommand: self._obey, JobList: self._list}

    async def _accept(self, _: Session, message: Message) -> Message:
        return raw("job.accepted", job=dict(self._summary))

    async def _obey(self, _: Session, message: Message) -> Message:
        return Done()

    async def _list(self, _: Session, message: JobList) -> Message:
        return raw("job.listed", jobs=[dict(self._summary)], more=False)

    async def _watch(self, session: Session, message: JobWatch) -> Message:
        session.start(self._tell, session, message.watch)
        return Done()

    async def _tell(self, session: Session, watch: int) -> None:
        offset = 0
        try:
            for each in self._events:
                await session.request(raw("job.events", watch=watch, events=[each]), Done)
            for text in self._log:
                offset += len(text)
                await session.request(raw("job.log", watch=watch, offset=offset, text=text), Done)
            await session.request(raw("job.watch.ended", watch=watch), Done)
        except SleapRTCError as error:
            self.refusals.append(error)


def offering(manifest: bytes, chunks: bytes = b"", data: bytes = b"") -> Producers:
    """Sends these bytes to whoever asks for a job's models."""

    def send(answer: bytes) -> Callable[[Session, Any, SendStream], Awaitable[None]]:
        async def produce(_: Session, request: Any, stream: SendStream) -> None:
            await stream.write(answer, last=True)

        return produce

    return {ManifestGet: send(manifest), ChunksGet: send(chunks), FileGet: send(data)}


@asynccontextmanager
async def client_of(handlers: Answers, producers: Producers | None = None) -> AsyncIterator[RemoteWorker]:
    """A client linked to a worker that answers like this."""
    async with (
        meeting(timeouts=STEADY, worker_handlers=handlers, worker_producers=producers) as found,
        accepting(found),
    ):
        worker = RemoteWorker(PendingJobs(), Place("", CLIENT.room))
        settings = replace(found.client_settings, handlers=worker.handlers, producers=worker.producers)
        worker.link = WorkerLink(found.client, lambda: CLIENT, found.identity.worker_id, settings, acquaintance=None)
        running = asyncio.ensure_future(worker.link.run())
        try:
            yield worker
        finally:
            running.cancel()
            await asyncio.wait({running})


class Screen(io.StringIO):
    """What a command writes to; `tty` says whether it is a terminal."""

    def __init__(self, *, tty: bool) -> None:
        super().__init__()
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def check(self) -> str:
        """See that nothing steers the terminal; return what is read on it."""
        text = _RICHS_OWN.sub("\n", self.getvalue()) if self._tty else self.getvalue()
        steering = [c for c in text if c not in "\n\t" and not c.isprintable()]
        assert not steering, steering
        return text


FACES = {"terminal": (True, False), "pipe": (False, False), "json": (False, True)}
"""Whether it is a terminal, and whether ``--json`` was typed."""


async def follow(job: RemoteJob, face: str, output: Path) -> tuple[Screen, int]:
    """Watch a job to its end and bring its models home, as ``train`` and ``jobs watch`` do; return the exit code."""
    tty, as_json = FACES[face]
    screen = Screen(tty=tty)
    interrupted: asyncio.Queue[int] = asyncio.Queue()
    try:
        with make_display(json=as_json, logs=True, stream=screen) as display:
            display.connected("gpu", "CPU only")
            display.accepted(job.summary)
            following = Following(job, display, interrupted, results=models_into(output), logs=True)
            async with asyncio.timeout(30):
                return screen, await following.run()
    except SleapRTCError as error:
        return screen, fail(error)
