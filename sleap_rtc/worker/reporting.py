"""What the service is told of this worker's jobs, so that it can be read while the worker is away."""

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from pydantic import BaseModel

from sleap_rtc.errors import SleapRTCError
from sleap_rtc.jobs import intake
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.folder import JobFolder, StateRecord
from sleap_rtc.jobs.outline import Outline, RunOutline
from sleap_rtc.protocol.jobs import JobSpec, JobState
from sleap_rtc.protocol.reports import (
    JOBS_AT_ONCE,
    MAX_RUNS,
    REPORT_BYTES,
    JobFacts,
    JobReport,
    Reported,
    ReportJobs,
    ReportModels,
    RunReport,
    size_of,
)
from sleap_rtc.signaling.client import SignalingClient

logger = logging.getLogger(__name__)

Part = TypeVar("Part", bound=BaseModel)
_CODE = re.compile(r"[a-z0-9_]{1,64}")
_NOT_ACCEPTED = (JobState.RECEIVED, JobState.STAGED)


class Reporter(ABC):
    """Tells the service what is news, and after every connection all of it.

    Args:
        board: the worker's jobs.
        signaling: its connection to the service.
        every: seconds between two looks.
    """

    def __init__(self, board: JobBoard, signaling: SignalingClient, every: float) -> None:
        self.board = board
        self.signaling = signaling
        self._every = every
        self._connection: str | None = None
        self._wanted = True
        self._problem: str | None = None

    async def run(self) -> NoReturn:
        """Report until cancelled. That it cannot be done now is no reason to stop: the next look tries again."""
        while True:
            try:
                await self._look()
                self._problem = None
            except (SleapRTCError, OSError) as error:
                if str(error) != self._problem:
                    logger.info("The service could not be told of this worker's jobs: %s", error)
                self._problem = str(error)
            await asyncio.sleep(self._every)

    async def _look(self) -> None:
        await self.signaling.welcome()
        principal = self.signaling.principal
        if principal.session != self._connection:
            # what an earlier connection was told may have been lost with it, or with the service's database
            self._connection, self._wanted = principal.session, True
            self.forget()
        if self._wanted:
            await self.tell(principal.room)

    async def send(self, report: ReportJobs | ReportModels) -> Reported:
        """Send a report, and return the answer; unless more is `wanted`, there is no point in sending more."""
        answer = await self.signaling.report(report)
        if answer.refused:
            logger.info("The service does not keep these jobs: %s", ", ".join(answer.refused))
        self._wanted = answer.wanted
        return answer

    @abstractmethod
    def forget(self) -> None:
        """Hold nothing for told any more."""

    @abstractmethod
    async def tell(self, room: str) -> None:
        """Tell what is news of this room."""


class JobReporter(Reporter):
    """Tells how the room's jobs stand; see `Reporter`."""

    def __init__(self, board: JobBoard, signaling: SignalingClient, every: float) -> None:
        super().__init__(board, signaling, every)
        self._known: dict[str, _KnownJob] = {}
        self._told: dict[str, JobReport] = {}

    def forget(self) -> None:
        """See `Reporter.forget`."""
        self._told.clear()

    async def tell(self, room: str) -> None:
        """See `Reporter.tell`."""
        reports = await asyncio.to_thread(self._reports, room)
        self._told = {job: told for job, told in self._told.items() if job in reports}
        news = [report for job, report in reports.items() if self._told.get(job) != report]
        for page in pages(sorted(news, key=lambda each: each.submitted, reverse=True), JOBS_AT_ONCE):
            if not (await self.send(ReportJobs(jobs=page))).wanted:
                return
            self._told |= {report.job: report for report in page}

    def _reports(self, room: str) -> dict[str, JobReport]:
        found, known = {}, {}
        for folder in self.board.folders():
            try:
                known[folder.job] = self._read(folder)
            except intake.ODD as error:
                logger.debug("%s cannot be reported: %s", folder.job, error)
                continue
            report = known[folder.job].report
            if known[folder.job].room == room and report is not None:
                found[folder.job] = report
        self._known = known
        return found

    def _read(self, folder: JobFolder) -> "_KnownJob":
        stamp = folder.state_stamp()
        known = self._known.get(folder.job)
        if known is not None and known.stamp == stamp and known.over:
            return known
        spec, state = folder.spec(), folder.state()
        outline = known.outline if known is not None else Outline(folder.events)
        outline.update()
        report = None if state.state in _NOT_ACCEPTED or not spec.runs else _job_report(spec, state, outline)
        return _KnownJob(stamp, spec.owner.room, state.state.ended, outline, report)


@dataclass(frozen=True)
class _KnownJob:
    """What was found out about a job; while it is over and its stamp stays, nothing has to be read again."""

    stamp: tuple[int, int]
    room: str
    over: bool
    outline: Outline
    report: JobReport | None


def _job_report(spec: JobSpec, state: StateRecord, outline: Outline) -> JobReport:
    code = state.error.code if state.error is not None else None
    facts = JobFacts(
        attempt=state.attempt,
        changed=state.t,
        started=outline.started,
        ended=outline.ended if state.state.ended else None,
        runs=tuple(
            RunReport(name=run.name, model_type=run.model_type, epoch=known.epoch, epochs=known.epochs, loss=known.loss)
            for run in spec.runs[:MAX_RUNS]
            for known in [outline.runs.get(run.name, RunOutline(epochs=run.max_epochs))]
        ),
        error=code if code is None or _CODE.fullmatch(code) else SleapRTCError.code,
    )
    return JobReport(
        job=spec.job,
        user=spec.owner.user,
        user_name=spec.owner.name,
        kind=spec.options.kind,
        state=state.state,
        submitted=spec.submitted,
        facts=facts,
    )


def pages(parts: Sequence[Part], most: int) -> Iterator[tuple[Part, ...]]:
    """Cut a list into pieces that fit into a report each."""
    page: list[Part] = []
    room = REPORT_BYTES
    for part in parts:
        size = size_of(part)
        if page and (size > room or len(page) == most):
            yield tuple(page)
            page, room = [], REPORT_BYTES
        page.append(part)
        room -= size
    if page:
        yield tuple(page)
