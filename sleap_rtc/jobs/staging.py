"""From the files of a package to the runs of a job, checked: the same for a job and for a package that is looked at."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from sleap_rtc.errors import BusyError, ConfigError, SleapRTCError
from sleap_rtc.protocol.inference import TrackOptions
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.training import TrainOptions

from . import intake
from .checking import Preflight
from .files import remove_tree
from .folder import JobFolder
from .making import Recipe
from .mounts import Mounts
from .plan import Plan
from .room_models import RoomModels
from .trained import ROOM_MODEL


class Staging:
    """Makes runs of packages.

    Args:
        preflight: checks them; None lets mistakes be found out by sleap-nn.
        mounts: what jobs may read beside their own files.
        check_fits: raises ConfigError where this worker has fewer devices than that.
        models: where models of the room come from.

    Attributes:
        models: the same; a worker knows it once it serves its room.
    """

    def __init__(
        self,
        preflight: Preflight | None,
        mounts: Mounts,
        check_fits: Callable[[int], None],
        models: RoomModels | None = None,
    ) -> None:
        self.models = models
        self._preflight = preflight
        self._mounts = mounts
        self._check_fits = check_fits

    async def plan(self, folder: JobFolder, *, describe: bool = False) -> Plan | None:
        """Open a package whose files have all arrived; None if its job was staged before an interruption.

        Args:
            folder: the job's; gone where it is refused.
            describe: whether somebody wants to know what is in it, beside whether it is right.

        Raises:
            PackageError, ConfigError: why it is refused.
            BusyError: if sleap-nn cannot be asked now what has to be known of it.
        """
        recipes = await asyncio.to_thread(intake.open_package, folder, self._mounts)
        # after the package was unpacked: beside another folder, an archive would not be taken for the package
        await self._place_model(folder)
        made = await self._made(folder, recipes)
        plan = await asyncio.to_thread(intake.prepare, folder, made, self._mounts)
        if plan is not None:
            await self._refuse_if_too_large(folder, plan)
        if plan is not None and self._preflight is not None:
            plan = await self._checked(folder, plan, self._preflight, describe=describe)
        return plan

    async def _place_model(self, folder: JobFolder) -> None:
        """Put the room's model that a job names among its files, unless that was done before an interruption."""
        spec = await asyncio.to_thread(folder.spec)
        options = spec.options
        model = options.start_from if isinstance(options, TrainOptions) else options.model
        if model is None or (await asyncio.to_thread(folder.state)).state is not JobState.RECEIVED:
            return
        if self.models is None:
            await asyncio.to_thread(folder.remove)
            raise ConfigError("This worker keeps no models of its room. Choose another one, or give a model's folder.")
        target = folder.inputs / ROOM_MODEL
        # of an attempt that was interrupted, or of a package that would pass for the room's model
        await asyncio.to_thread(remove_tree, target)
        await self.models.place(model.digest, spec.owner.room, target)

    async def _made(self, folder: JobFolder, recipes: Sequence[Recipe]) -> dict[str, str]:
        if not recipes or self._preflight is None:
            return {}
        try:
            return {recipe.path: await self._preflight.make(recipe) for recipe in recipes}
        except SleapRTCError:
            await asyncio.to_thread(folder.remove)
            raise

    async def _refuse_if_too_large(self, folder: JobFolder, plan: Plan) -> None:
        try:
            self._check_fits(max(run.devices for run in plan.runs))
        except ConfigError:
            await asyncio.to_thread(folder.remove)
            raise

    async def _checked(self, folder: JobFolder, plan: Plan, preflight: Preflight, *, describe: bool) -> Plan:
        findings = await preflight.check(folder, plan.runs, describe=describe)
        if findings.problems:
            await asyncio.to_thread(folder.remove)
            raise findings.refusal()
        options = (await asyncio.to_thread(folder.spec)).options
        if findings.unchecked and (isinstance(options, TrackOptions) or options.videos is not None):
            # only the check knows which files the data names: what a job may read is not left to chance
            raise BusyError(
                "Which files the data refers to cannot be checked on this worker just now: type the command again in a "
                "minute."
            )
        notices = plan.notices + findings.notices
        return replace(plan, notices=notices, settings=findings.settings, labels=findings.labels)
