"""What is different between runs that train and runs that do something else, for whoever looks after them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sleap_rtc.protocol.jobs import Run, Verb

from .checkpoints import Remains
from .export_task import ExportTask
from .failures import no_export, no_model, no_predictions
from .folder import JobFolder, is_plain, is_real_folder
from .keeping import CHECKPOINTS, copy_model
from .track_task import TrackTask, check_task
from .trained import EXPORTED
from .video_places import check_places
from .yaml_data import MAX_OWN_BYTES, read_yaml


class Work:
    """One run of a job.

    Args:
        folder: the job's.
        run: which run.
        resumed: whether an earlier attempt began it.
    """

    def __init__(self, folder: JobFolder, run: Run, *, resumed: bool) -> None:
        self.folder = folder
        self.run = run
        self.resumed = resumed
        self.results = folder.models / run.name

    def prepare(self) -> str | None:
        """Make room for the attempt; what to tell the submitter of that, if there is something."""
        return None

    def told(self) -> dict[str, Any]:
        """What the runner is told to do.

        Raises:
            ConfigError: if a file is not there any more that was there when the job was submitted.
        """
        raise NotImplementedError

    def begun(self) -> None:
        """Called once, when sleap-nn has first spoken."""

    def set_aside(self) -> None:
        """Called before the run is ended by force: keep what is worth keeping."""

    def restore(self) -> None:
        """Called after the run was ended by force: put back what it may have taken with it."""

    def finish(self) -> None:
        """Called when the run has ended, before anybody looks for results."""

    def has_result(self) -> bool:
        """Whether there is something to bring home."""
        raise NotImplementedError

    def nothing(self) -> str:
        """The sentence for a run that ended well and left nothing."""
        raise NotImplementedError

    def _is_real(self) -> bool:
        return all(is_real_folder(path) for path in (self.folder.work, self.folder.models, self.results))


class Training(Work):
    """A run that trains a model. An earlier attempt's checkpoint is where the next one goes on.

    Args:
        folder: the job's.
        run: which run.
        resumed: whether an earlier attempt began it.
        config: what it runs with.
    """

    def __init__(self, folder: JobFolder, run: Run, *, resumed: bool, config: dict[str, Any]) -> None:
        super().__init__(folder, run, resumed=resumed)
        self._config = config
        self._remains = Remains(folder, run.name) if resumed else None

    @classmethod
    def of(cls, folder: JobFolder, run: Run, *, resumed: bool, wandb: bool = True) -> "Training":
        """A run, with the config that was kept for it; without `wandb` it reports to nobody.

        Raises:
            OSError, ConfigError: if the config cannot be read.
        """
        config = read_yaml(folder.config_of(run.name).read_bytes(), MAX_OWN_BYTES)
        if not wandb:
            config["trainer_config"]["use_wandb"] = False
        return cls(folder, run, resumed=resumed, config=config)

    def prepare(self) -> str | None:
        """See `Work.prepare`."""
        if self._remains is None:
            return None
        checkpoint = self._remains.take()
        name = self.run.name
        if checkpoint is None:
            return f"Run '{name}' begins anew: it had no checkpoint to go on from."
        self._config["trainer_config"]["resume_ckpt_path"] = str(checkpoint)
        return f"Run '{name}' goes on from its last checkpoint."

    def told(self) -> dict[str, Any]:
        """See `Work.told`."""
        arguments = self.folder.video_arguments()
        check_places(arguments, self.folder.inputs.resolve())
        path = str(self.folder.config_in_use(self.run.name))
        return {"config": self._config, "path": path, "arguments": arguments}

    def begun(self) -> None:
        """See `Work.begun`: by then sleap-nn has chosen its folder."""
        if self._remains is not None:
            self._remains.put_back()

    def set_aside(self) -> None:
        """See `Work.set_aside`."""
        copy_model(self.results, self.folder.kept / self.run.name, below=self.folder.path)

    def restore(self) -> None:
        """See `Work.restore`."""
        kept = self.folder.kept / self.run.name
        if is_real_folder(kept) and not self.has_result():
            copy_model(kept, self.results, below=self.folder.path)

    def finish(self) -> None:
        """See `Work.finish`."""
        if self._remains is not None:
            self._remains.merge()

    def has_result(self) -> bool:
        """See `Work.has_result`."""
        return self._is_real() and any(is_plain(self.results / name) for name in CHECKPOINTS)

    def nothing(self) -> str:
        """See `Work.nothing`."""
        return no_model(self.run.name)


class Exporting(Work):
    """A run that writes a model in another format."""

    def told(self) -> dict[str, Any]:
        """See `Work.told`."""
        task = ExportTask.read(self.folder.task_of(self.run.name))
        return {"task": task.model_dump(), "models": _absolute(self.folder.path, task.models)}

    def has_result(self) -> bool:
        """See `Work.has_result`."""
        return self._is_real() and any(is_plain(self.results / name) for name in EXPORTED)

    def nothing(self) -> str:
        """See `Work.nothing`."""
        return no_export(self.run.name)


class Tracking(Work):
    """A run that looks for animals. Its predictions are there whole or not at all, so another attempt begins anew."""

    def task(self) -> TrackTask:
        """What was asked for.

        Raises:
            OSError, ConfigError: if that cannot be read.
        """
        return TrackTask.read(self.folder.task_of(self.run.name))

    def told(self) -> dict[str, Any]:
        """See `Work.told`."""
        task = self.task()
        check_task(task, self.folder)
        return {"task": task.model_dump(), "models": _absolute(self.folder.path, task.models)}

    def has_result(self) -> bool:
        """See `Work.has_result`."""
        return self._is_real() and is_plain(self.results / self.task().output)

    def nothing(self) -> str:
        """See `Work.nothing`."""
        return no_predictions(self.run.name)


def work_of(folder: JobFolder, run: Run, *, resumed: bool, wandb: bool = True) -> Work:
    """What a run of a job is, by its verb.

    Raises:
        OSError, ConfigError: if what it runs with cannot be read.
    """
    if run.verb is Verb.TRACK:
        return Tracking(folder, run, resumed=resumed)
    if run.verb is Verb.EXPORT:
        return Exporting(folder, run, resumed=resumed)
    return Training.of(folder, run, resumed=resumed, wandb=wandb)


def _absolute(folder: Path, places: Sequence[str]) -> list[str]:
    return [str(folder / place) for place in places]
