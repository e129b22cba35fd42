"""What one run of an inference does, and whether its files are still what they were."""

from pathlib import Path

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.text import one_line

from .below import why_not
from .folder import JobFolder
from .task_file import TaskFile


class TrackTask(TaskFile):
    """One video, or labels, to look for animals in.

    Attributes:
        models: folders of models, below the job's folder.
        data: the file, with its whole path.
        output: what the predictions are called.
        arguments: what else sleap-nn's ``predict`` is told.
        frames: which frames, where that was said, as the submitter wrote them.
        only: what kind of frames of labels, in sleap-nn's word.
    """

    models: tuple[str, ...]
    data: str
    output: str
    arguments: tuple[str, ...] = ()
    frames: str | None = None
    only: str | None = None


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
