"""What one run of an inference does, as it is kept for every attempt: ``control/runs/RUN/task.json``."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sleap_rtc.errors import ConfigError, StorageError
from sleap_rtc.protocol.text import one_line

from .below import why_not
from .files import write_atomically
from .folder import JobFolder


class TrackTask(BaseModel):
    """One video, or labels, to look for animals in.

    Attributes:
        models: folders of models, below the job's folder.
        data: the file, with its whole path.
        output: what the predictions are called.
        arguments: what else sleap-nn's ``predict`` is told.
        frames: which frames, where that was said, as the submitter wrote them.
        only: what kind of frames of labels, in sleap-nn's word.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    models: tuple[str, ...]
    data: str
    output: str
    arguments: tuple[str, ...] = ()
    frames: str | None = None
    only: str | None = None

    def write(self, path: Path) -> None:
        """Keep it; on disk when this returns."""
        path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        write_atomically(path, self.model_dump_json(indent=1).encode())

    @classmethod
    def read(cls, path: Path) -> "TrackTask":
        """Read what `write` wrote.

        Raises:
            StorageError: if it is damaged or gone.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StorageError(f"'{path}' is damaged: the job cannot be run.") from error


def check_task(task: TrackTask, folder: JobFolder) -> None:
    """Look once more at the files that a run reads, before it opens them: hours may have passed. Blocks.

    Raises:
        ConfigError: if one is gone, or a link has taken its place or that of a folder above.
    """
    inputs = folder.inputs.resolve()
    data = Path(task.data)
    # mounts were found without a link in their own path, too
    root = inputs if data.is_relative_to(inputs) else Path(data.anchor)
    problem = why_not(root, data, folder=False)
    if problem:
        raise ConfigError(
            f"'{one_line(task.data, limit=200)}' was there when the job was submitted, and now {problem}. Nothing was "
            "read. Ask the worker's owner, or submit the job again."
        )
