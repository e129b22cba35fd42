"""A job that is submitted once more, out of the files that are still here. All functions block."""

import shutil

from sleap_rtc.errors import ConfigError, ConflictError
from sleap_rtc.protocol.jobs import JobSpec, Owner

from .files import remove_tree, storage_error
from .folder import JobFolder
from .trained import ROOM_MODEL


def spec_of(source: JobFolder, job: str, owner: Owner, now: int) -> JobSpec:
    """What the new job is.

    Args:
        source: the job that there is.
        job: the new one's id.
        owner: whose it is.
        now: the time.

    Raises:
        ConflictError: if the files of `source` never all arrived, or the new job would be the same.
        ConfigError: if `source` reported to Weights & Biases, which takes its submitter's key.
    """
    spec = source.spec()
    if job == source.job:
        raise ConflictError("A job that is submitted again has an id of its own.")
    if not spec.runs:
        raise ConflictError(f"The files of the job {source.job} never all arrived: it cannot be submitted again.")
    if spec.options.wandb:
        raise ConfigError(
            "The job reported to Weights & Biases, which takes your key: submit its package again, with --pkg-path."
        )
    return spec.model_copy(update={"job": job, "owner": owner, "submitted": now, "runs": ()})


def copy_inputs(source: JobFolder, folder: JobFolder) -> None:
    """Copy what a job was given, but for a model of the room, which is put there again.

    Raises:
        StorageError: if the disk refuses.
    """
    try:
        # of an attempt that was interrupted
        remove_tree(folder.inputs)
        shutil.copytree(source.inputs, folder.inputs, symlinks=True)
        for path in (folder.inputs, *folder.inputs.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)
    except shutil.Error as error:
        raise storage_error(folder.inputs, OSError(str(error.args[0][:1]))) from error
    except OSError as error:
        raise storage_error(folder.inputs, error) from error
    if _begins_with_a_model(source):
        remove_tree(folder.inputs / ROOM_MODEL)


def _begins_with_a_model(source: JobFolder) -> bool:
    options = source.spec().options
    return getattr(options, "start_from", None) is not None or getattr(options, "model", None) is not None
