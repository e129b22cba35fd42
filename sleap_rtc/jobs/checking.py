"""The worker's side of the preflight: keeps a helper ready, asks it about each job, and does without it where it fails.

A mistake is better told before the queue than after hours in it, but no job is lost to the check: where the helper is
not ready, dies or takes too long, the job is queued unchecked, and its journal says so. A config that only sleap-nn can
make is another matter: without the helper there is nothing to queue, and the job is refused.
"""

import asyncio
import logging
import random
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from sleap_rtc.config.finishing import to_the_end
from sleap_rtc.errors import BusyError, ConfigError
from sleap_rtc.protocol.jobs import Run, Verb
from sleap_rtc.protocol.text import printable
from sleap_rtc.signaling.backoff import backoff

from .environment import python_command
from .findings import Failed, Findings, Request, RunToCheck
from .folder import JobFolder
from .helper import Helper, Place
from .making import Made, Recipe
from .mounts import Mounts
from .sandbox.settings import SandboxSettings

logger = logging.getLogger(__name__)
A = TypeVar("A", bound=BaseModel)
_MAX_REASON = 200


@dataclass(frozen=True)
class PreflightSettings:
    """Times in seconds.

    Attributes:
        patience: how long a job waits for its turn and for a helper that is still starting.
        making_patience: how long a job waits that cannot do without the helper.
        answer: how long the helper may take over one job.
        grace: how much longer it is given to end what takes longer, before it is ended itself.
        start: how long the helper may take to start; its imports take 10 to 20.
        first_pause: before the first new start of one that died; doubled up to `longest_pause`.
        longest_pause: the longest time between two starts.
        helper: the command that starts the helper; ours without it.
    """

    patience: float = 20.0
    making_patience: float = 150.0
    answer: float = 20.0
    grace: float = 10.0
    start: float = 120.0
    first_pause: float = 0.5
    longest_pause: float = 60.0
    helper: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """The command line of the helper."""
        return list(self.helper) or python_command("sleap_rtc.jobs.preflight", f"{self.answer:g}")


class Preflight:
    """Checks jobs before they are queued.

    Args:
        folder: the helper's own folder, made where there is none.
        gpu_memory_mb: memory of the GPU that a job gets, in MiB; None if there is none.
        mounts: what jobs may read beside their own files.
        sandbox: what keeps the helper from everything else; where it cannot be made, there is no helper.
        settings: times.
    """

    def __init__(
        self,
        folder: Path,
        *,
        gpu_memory_mb: int | None = None,
        mounts: Mounts | None = None,
        sandbox: SandboxSettings | None = None,
        settings: PreflightSettings | None = None,
    ) -> None:
        self._mounts = mounts or Mounts()
        self._gpu_memory_mb = gpu_memory_mb
        self._settings = settings or PreflightSettings()
        self._place = Place(folder, self._settings.command, sandbox, imports_sleap_nn=not self._settings.helper)
        self._helper: Helper | None = None
        self._decided = asyncio.Event()
        """Set when there is a helper, or none to wait for."""
        self._turn = asyncio.Lock()
        self._answered = False

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Keep a helper ready while the body runs."""
        # owned by this block, which ends it
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            self._decided.set()

    async def check(self, folder: JobFolder, runs: Sequence[Run], *, describe: bool = False) -> Findings:
        """What is wrong with a staged job; without problems, but with a notice, where that could not be found out.

        Args:
            folder: the job's.
            runs: what it does.
            describe: whether to tell what is in it as well.
        """
        if runs and all(run.verb is Verb.EXPORT for run in runs):
            return Findings()  # of a model that the room has, and nothing of anybody else's
        path = folder.path.absolute()
        request = Request(
            folder=str(path),
            runs=tuple(RunToCheck(name=run.name, config=str(path / run.config), verb=run.verb) for run in runs),
            free=(await asyncio.to_thread(shutil.disk_usage, path)).free,
            gpu_memory_mb=self._gpu_memory_mb,
            videos=await asyncio.to_thread(folder.video_arguments),
            mounts={label: str(root) for label, root in self._mounts.roots.items()},
            describe=describe,
        )
        try:
            return await self._asked(
                request, Findings, [path / "inputs", folder.configs.absolute()], self._settings.patience
            )
        except _NoAnswerError as error:
            unchecked = "could not be checked" if describe else "was queued without a check"
            notice = f"This job {unchecked}, because {error}: a mistake in it shows when it starts."
            return Findings(notices=(notice,), unchecked=True)

    async def make(self, recipe: Recipe) -> str:
        """A config that only sleap-nn can make, as YAML text; it is as little to be trusted as what it was made from.

        Raises:
            ConfigError: if sleap-nn cannot make it.
            BusyError: if the helper cannot be asked now.
        """
        shown = printable(recipe.path, limit=120)
        try:
            made = await self._asked(recipe.request, Made, recipe.files, self._settings.making_patience)
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

    async def _asked(self, request: BaseModel, answer: type[A], files: Sequence[Path], patience: float) -> A:
        """Wait for the helper and its answer.

        Args:
            request: what to ask.
            answer: what kind of answer it has.
            files: what the helper has to see for it, of one job.
            patience: how long to wait until the helper can be asked.

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
            return await self._take_turn(request, answer, files, until)
        finally:
            self._turn.release()

    async def _take_turn(self, request: BaseModel, answer: type[A], files: Sequence[Path], until: float) -> A:
        try:
            async with asyncio.timeout_at(until):
                await self._decided.wait()
        except TimeoutError:
            raise _NoAnswerError("its helper was still starting") from None
        helper = self._helper
        if helper is None:
            raise _NoAnswerError("its helper does not start on this worker")
        found = await self._shown_and_asked(helper, request, answer, files)
        self._answered = True
        if isinstance(found, Failed):
            raise _FailedError(printable(found.failed, limit=_MAX_REASON))
        return found

    async def _shown_and_asked(
        self, helper: Helper, request: BaseModel, answer: type[A], files: Sequence[Path]
    ) -> A | Failed:
        settings, well = self._settings, False
        try:
            try:
                await to_the_end(asyncio.to_thread(self._place.show, files))
                async with asyncio.timeout(settings.answer + settings.grace):
                    found = await helper.ask(request, answer)
            finally:
                await to_the_end(asyncio.to_thread(self._place.hide))
            well = True
        except TimeoutError:
            raise _FailedError(f"it took longer than {settings.answer:g} seconds") from None
        except (OSError, ValueError) as error:
            logger.warning("The helper failed at %s: %s", request, error)
            raise _FailedError("its helper failed") from error
        finally:
            if not well:
                # a late answer must not be taken for the next job's, nor may that one find the files of this one
                self._dismiss(helper)
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
        # from this thread: a helper dies with the thread that started it, and this one lasts as long as the worker
        helper = await self._place.start()
        try:
            if not await helper.is_ready(self._settings.start):
                logger.warning("The check of jobs does not start; '%s' may say why.", self._place.log)
                return False
            self._helper = helper
            self._decided.set()
            await helper.ended()
            return True
        finally:
            self._dismiss(helper)
            await helper.bury()

    def _dismiss(self, helper: Helper) -> None:
        if self._helper is helper:
            self._helper = None
            self._decided.clear()
        helper.kill()


class _NoAnswerError(Exception):
    """The helper has not answered; the text says why."""


class _FailedError(_NoAnswerError):
    """It was asked, and failed."""
