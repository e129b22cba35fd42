"""A job on a worker, as a client sees it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sleap_rtc.client.pending import PendingJobs
from sleap_rtc.client.results import MODELS, Layout, fetch_results
from sleap_rtc.client.watch import Watch
from sleap_rtc.protocol.jobs import Event, JobCommand, JobState, JobSummary
from sleap_rtc.protocol.link import Done
from sleap_rtc.session.session import Session

if TYPE_CHECKING:
    from sleap_rtc.client.remote import RemoteWorker


class RemoteJob:
    """A job on a worker.

    Attributes:
        summary: how it stood when it was last asked about.
    """

    def __init__(self, worker: "RemoteWorker", summary: JobSummary, pending: PendingJobs) -> None:
        self.summary = summary
        self._worker = worker
        self._pending = pending

    @property
    def id(self) -> str:
        """The job's id."""
        return self.summary.job

    async def watch(
        self,
        on_event: Callable[[Event], None],
        *,
        since: int = 0,
        on_log: Callable[[str], None] | None = None,
    ) -> JobState:
        """Follow the job to its end; a dropped link leaves no gap.

        Args:
            on_event: told every event, in order, once.
            since: the number of the last event already seen.
            on_log: told the training log; it is not sent otherwise.

        Returns:
            The state it ended in.

        Raises:
            UnreachableError: if the worker is gone for longer than it is waited for.
        """
        with self._worker.watching(self.id, since, on_event, on_log) as watch:
            state = await self._see(watch)
        assert state is not None  # noqa: S101 - `Watch` says so
        return state

    async def look(
        self,
        on_event: Callable[[Event], None],
        *,
        since: int = 0,
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        """See what there is of the job by now, without waiting for its end; see `watch`."""
        with self._worker.watching(self.id, since, on_event, on_log, follow=False) as watch:
            await self._see(watch)

    async def _see(self, watch: Watch) -> JobState | None:
        async def see(session: Session) -> JobState | None:
            await session.request(watch.request, Done)
            return await session.until(watch.ended)

        return await self._worker.link.call(see)

    async def stop(self) -> None:
        """Stop after the current step; the best model so far is kept, or what was predicted to its end."""
        await self._command(JobCommand(job=self.id, command="stop"))

    async def cancel(self) -> None:
        """Stop and discard."""
        await self._command(JobCommand(job=self.id, command="cancel"))

    async def resume(self) -> None:
        """Let a job that was lost, failed or was stopped go on; see `RemoteWorker.resume`."""
        self.summary = (await self._worker.resume(self.id)).summary

    async def _command(self, message: JobCommand) -> None:
        await self._worker.link.call(lambda session: session.request(message, Done))

    async def fetch(
        self,
        output: Path,
        on_bytes: Callable[[int, int], None] = lambda done, total: None,
        *,
        layout: Layout = MODELS,
    ) -> list[Path]:
        """Bring the results home; see `fetch_results`."""
        store = await asyncio.to_thread(self._worker.open_store)
        try:
            folders = await fetch_results(self._worker.link, self.id, output, store, on_bytes, layout)
        finally:
            await asyncio.to_thread(store.close)
        self.forget()
        return folders

    def forget(self) -> None:
        """Take the job out of the journal: the same package typed again is a new job."""
        self._pending.forget(self.id)
