"""The worker's side of the preflight: keeps a helper ready, asks it about each job, and does without it where it fails.

A mistake is better told before the queue than after hours in it, but no job is lost to the check: where the helper is
not ready, dies or takes too long, the job is queued unchecked, and its journal says so. A config that only sleap-nn can
make is another matter: without the helper there is nothing to queue, and the job is refused.
"""

import asyncio
import logging
import random
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from pydantic import BaseModel

from sleap_rtc.errors import BusyError, ConfigError
from sleap_rtc.protocol.jobs import Run
from sleap_rtc.protocol.text import printable
from sleap_rtc.signaling.backoff import backoff

from .environment import python_command, runner_environment
from .findings import MAX_ANSWER, READY, Findings, Request, RunToCheck
from .folder import JobFolder
from .making import Made, Recipe
from .mounts import Mounts

logger = logging.getLogger(__name__)
A = TypeVar("A", bound=BaseModel)


@dataclass(frozen=True)
class PreflightSettings:
    """Times in seconds.

    Attributes:
        patience: how long a job waits for its turn and for a helper that is still starting.
        making_patience: how long a job waits that cannot do without the helper.
        answer: how long the helper may take over one job.
        start: how long the helper may take to start; its imports take 10 to 20.
        first_pause: before the first new start of one that died; doubled up to `longest_pause`.
        longest_pause: the longest time between two starts.
        helper: the command that starts the helper; ours without it.
    """

    patience: float = 20.0
    making_patience: float = 150.0
    answer: float = 20.0
    start: float = 120.0
    first_pause: float = 0.5
    longest_pause: float = 60.0
    helper: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """The command line of the helper."""
        return list(self.helper) or python_command("sleap_rtc.jobs.preflight")


class Preflight:
    """Checks jobs before they are queued.

    Args:
        folder: the helper's own folder, made where there is none.
        gpu_memory_mb: memory of the GPU that a job gets, in MiB; None if there is none.
        mounts: what jobs may read beside their own files.
        settings: times.
    """

    def __init__(
        self,
        folder: Path,
        *,
        gpu_memory_mb: int | None = None,
        mounts: Mounts | None = None,
        settings: PreflightSettings | None = None,
    ) -> None:
        self._folder = folder
        self._mounts = mounts or Mounts()
        self._gpu_memory_mb = gpu_memory_mb
        self._settings = settings or PreflightSettings()
        self._helper: Process | None = None
        self._decided = asyncio.Event()
        """Set when there is a helper, or none to wait for."""
        self._turn = asyncio.Lock()
        self._answered = False

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Keep a helper ready while the body runs."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            self._decided.set()

    async def check(self, folder: JobFolder, runs: Sequence[Run]) -> Findings:
        """What is wrong with a staged job; without problems, but with a notice, where that could not be found out."""
        path = folder.path.absolute()
        request = Request(
            folder=str(path),
            runs=tuple(RunToCheck(name=run.name, config=str(path / run.config)) for run in runs),
            gpu_memory_mb=self._gpu_memory_mb,
            videos=await asyncio.to_thread(folder.video_arguments),
            mounts={label: str(root) for label, root in self._mounts.roots.items()},
        )
        try:
            return await self._asked(request, Findings, self._settings.patience)
        except _NoAnswerError as error:
            return Findings(
                notices=(
                    f"This job was queued without a check, because {error}: a mistake in it shows when it starts.",
                ),
                unchecked=True,
            )

    async def make(self, recipe: Recipe) -> str:
        """A config that only sleap-nn can make, as YAML text; it is as little to be trusted as what it was made from.

        Raises:
            ConfigError: if sleap-nn cannot make it.
            BusyError: if the helper cannot be asked now.
        """
        shown = printable(recipe.path, limit=120)
        try:
            made = await self._asked(recipe.request, Made, self._settings.making_patience)
        except _FailedError as error:
            raise ConfigError(f"sleap-nn could not make the config '{shown}': {error}. Nothing was queued.") from error
        except _NoAnswerError as error:
            raise BusyError(
                f"The config '{shown}' has to be made by sleap-nn before the job is queued, and {error}. "
                "Submit the job again in a minute, or choose another worker."
            ) from error
        if made.config is None:
            raise ConfigError(printable(made.problem or f"sleap-nn could not make the config '{shown}'."))
        return made.config

    async def _asked(self, request: BaseModel, answer: type[A], patience: float) -> A:
        """Wait for the helper and its answer.

        Raises:
            _NoAnswerError: if there is none, with the reason.
        """
        until = asyncio.get_running_loop().time() + patience
        try:
            async with asyncio.timeout_at(until):
                await self._turn.acquire()
        except TimeoutError:
            raise _NoAnswerError("other jobs were being checked") from None
        try:
            return await self._take_turn(request, answer, until)
        finally:
            self._turn.release()

    async def _take_turn(self, request: BaseModel, answer: type[A], until: float) -> A:
        try:
            async with asyncio.timeout_at(until):
                await self._decided.wait()
        except TimeoutError:
            raise _NoAnswerError("its helper was still starting") from None
        helper = self._helper
        if helper is None:
            raise _NoAnswerError("its helper does not start on this worker")
        found = None
        try:
            async with asyncio.timeout(self._settings.answer):
                found = await _ask(helper, request, answer)
        except TimeoutError:
            raise _FailedError(f"it took longer than {self._settings.answer:g} seconds") from None
        except (OSError, ValueError) as error:
            logger.warning("The helper failed at %s: %s", request, error)
            raise _FailedError("its helper failed") from error
        finally:
            if found is None:
                # a late answer must not be taken for the next job's
                self._dismiss(helper)
        self._answered = True
        return found

    async def _keep(self) -> None:
        pauses = self._pauses()
        while True:
            try:
                became_ready = await self._live()
            except OSError as error:
                logger.warning("The check of jobs cannot be started: %s", error)
                became_ready = False
            if not became_ready:
                # nobody waits for a helper that will not come; the next one that does is used again
                self._decided.set()
            elif self._answered:
                pauses, self._answered = self._pauses(), False
            await asyncio.sleep(next(pauses))

    def _pauses(self) -> Iterator[float]:
        return backoff(self._settings.first_pause, self._settings.longest_pause, random.random)

    async def _live(self) -> bool:
        """One helper, from its start to its end; whether it was ever ready."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._open_log))
        try:
            log = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # the thread opens it all the same
            with suppress(OSError):
                (await opening).close()
            raise
        try:
            # from this thread: a helper dies with the thread that started it, and this one lasts as long as the worker
            process = await asyncio.create_subprocess_exec(
                *self._settings.command, stdin=PIPE, stdout=PIPE, stderr=log, limit=MAX_ANSWER,
                cwd=self._folder, env=self._environment(), start_new_session=True,
            )  # fmt: skip
        finally:
            log.close()
        try:
            if not await self._is_ready(process):
                logger.warning("The check of jobs does not start; '%s' may say why.", self._folder / "log.txt")
                return False
            self._helper = process
            self._decided.set()
            await process.wait()
            return True
        finally:
            self._dismiss(process)
            await _bury(process)

    async def _is_ready(self, process: Process) -> bool:
        assert process.stdout is not None  # noqa: S101 - we asked for a pipe
        try:
            async with asyncio.timeout(self._settings.start):
                return await process.stdout.readline() == READY
        except (TimeoutError, ValueError):
            return False

    def _dismiss(self, process: Process) -> None:
        if self._helper is process:
            self._helper = None
            self._decided.clear()
        with suppress(ProcessLookupError):
            process.kill()

    def _open_log(self) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (self._folder / "log.txt").open("wb")

    def _environment(self) -> dict[str, str]:
        home = self._folder.absolute()
        # no device: the helper must not take memory of a GPU that a job trains on
        return runner_environment(str(home), home) | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


class _NoAnswerError(Exception):
    """The helper has not answered; the text says why."""


class _FailedError(_NoAnswerError):
    """It was asked, and failed."""


async def _ask(helper: Process, request: BaseModel, answer: type[A]) -> A:
    """Send a request and wait for its answer.

    Raises:
        OSError: if the helper is gone.
        ValueError: if it answers what is no answer.
    """
    assert helper.stdin is not None  # noqa: S101 - we asked for pipes
    assert helper.stdout is not None  # noqa: S101
    helper.stdin.write(request.model_dump_json().encode() + b"\n")
    await helper.stdin.drain()
    line = await helper.stdout.readline()
    if not line.endswith(b"\n"):
        raise ConnectionResetError("the helper ended")
    return answer.model_validate_json(line)


async def _bury(process: Process) -> None:
    """Wait for the end of a killed process, and give its pipes back."""
    try:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        with suppress(TimeoutError, ValueError):
            async with asyncio.timeout(1):
                while process.stdout is not None and await process.stdout.read(MAX_ANSWER):
                    continue
    finally:
        # by itself asyncio does it in a later turn of the loop, and there may be none
        process._transport.close()  # type: ignore[attr-defined] # noqa: SLF001
