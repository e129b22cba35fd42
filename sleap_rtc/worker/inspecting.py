"""A worker tells a client what it would train, before there is a job."""

import json
from collections.abc import Callable, Iterable, Iterator

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.errors import ConfigError
from sleap_rtc.jobs.access import Access
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.protocol.inspecting import MAX_NOTICE, MAX_NOTICES, JobInspect, JobInspected
from sleap_rtc.protocol.jobs import JobSpec
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.session.requests import Handlers
from sleap_rtc.session.session import Session
from sleap_rtc.worker.desk import Desk, Upload

NOTICES_ROOM = 16 * 1024
"""Bytes of all notices in one message; what the runs take, at most, fits beside them."""


class InspectService:
    """Answers one client's questions of what a package would be trained as.

    Args:
        desk: what all clients share.
        access: who the client is, as the service stamped it on the offer.
        check_new_work: raises where this client may begin nothing new just now.
    """

    def __init__(self, desk: Desk, access: Access, check_new_work: Callable[[], None]) -> None:
        self._desk = desk
        self._owner = access.owner
        self._check_new_work = check_new_work

    @property
    def handlers(self) -> Handlers:
        """What answers the client's requests."""
        return {JobInspect: self._inspect}

    async def _inspect(self, session: Session, message: JobInspect) -> Message:
        self._check_new_work()
        if not isinstance(message.options, TrainOptions):
            raise ConfigError("Only what is to be trained is looked at beforehand: submit this job as it is.")
        spec = JobSpec(
            job=message.job,
            owner=self._owner,
            name=message.name,
            manifest=message.manifest.digest,
            options=message.options,
            submitted=utc_ms(),
        )
        # of this owner alone: an id that somebody else has guessed must not end what they have under way
        key = f"inspect {self._owner.room}/{self._owner.user}/{message.job}"
        manifest = Manifest(files=())

        async def receive(folder: JobFolder) -> None:
            nonlocal manifest
            upload = Upload(key, message.job, message.manifest, self._owner, folder.inputs)
            manifest = await self._desk.receive(session, upload)

        async with self._desk.receiving(key):
            look = await self._desk.board.inspect(spec, receive)
        return JobInspected(
            runs=look.runs,
            labels=look.labels,
            notices=tuple(_fitting(look.notices)),
            size=manifest.total_size,
            files=len(manifest.files),
        )


def _fitting(notices: Iterable[str]) -> Iterator[str]:
    """The first of them, as many as a message has room for."""
    room = NOTICES_ROOM
    for number, notice in enumerate(notices):
        text = printable(notice, limit=MAX_NOTICE)
        room -= len(json.dumps(text, ensure_ascii=False).encode())
        if room < 0 or number == MAX_NOTICES:
            return
        yield text
