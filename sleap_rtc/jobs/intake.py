"""What the worker itself writes into a job's folder: before its supervisor has it, and after a supervisor was lost."""

import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from sleap_rtc.errors import BusyError, ConfigError, PackageError, SleapRTCError, StorageError
from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.exporting import ExportOptions
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.inference import TrackOptions
from sleap_rtc.protocol.jobs import JobSpec, JobState, Notice, Queued, StateChanged, check_transition
from sleap_rtc.protocol.training import TrainOptions

from . import attempts
from .archive import is_zip, unpack_zip
from .checkpoints import Remains
from .events import Journal, read_events
from .export_task import stage_export
from .files import remove_tree
from .folder import Command, ExitRecord, JobFolder, StateRecord
from .making import Recipe
from .mounts import Mounts
from .plan import Plan
from .processes import this_process
from .sandbox.choosing import SELF_TEST
from .track_plan import stage_track
from .train_plan import recipes, stage
from .video_places import video_arguments

logger = logging.getLogger(__name__)
ODD = (SleapRTCError, ValidationError, OSError)
"""What a job folder can raise that somebody deleted, tore or filled: one such folder never ends the worker."""
MAX_RECEIVED = 8
"""Jobs of one owner whose files are still to come."""
ABANDONED_AFTER = 7 * 24 * 3600.0
"""Seconds after which an upload that nobody went on with is removed."""


def folders(root: Path) -> Iterator[JobFolder]:
    """The jobs of a root, in any order."""
    if root.is_dir():
        yield from (JobFolder(path) for path in root.iterdir() if is_id("job", path.name) and path.is_dir())


def receive(root: Path, spec: JobSpec) -> JobFolder:
    """Make the folder of a new job, ready for its files.

    Raises:
        BusyError: if its owner has begun too many jobs whose files never came.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    begun = sum(1 for folder in _received(root) if folder.spec().owner.user == spec.owner.user)
    if begun >= MAX_RECEIVED:
        raise BusyError(f"{begun} of your jobs still wait for their files: finish or cancel some of them first.")
    return JobFolder.create(root / spec.job, spec)


def _received(root: Path) -> Iterator[JobFolder]:
    for folder in folders(root):
        try:
            if folder.state().state is JobState.RECEIVED:
                folder.spec()
                yield folder
        except ODD as error:
            logger.warning("Job %s cannot be read: %s", folder.job, error)


def open_package(folder: JobFolder, mounts: Mounts | None = None) -> tuple[Recipe, ...]:
    """Open the package of a job; which of its configs have to be made before it can be staged.

    A package that is refused takes its folder with it.

    Args:
        folder: the job's.
        mounts: what the job may read beside its own files.

    Raises:
        PackageError, ConfigError: why it is refused.
    """
    _catch_up(folder)
    if folder.state().state is not JobState.RECEIVED:
        return ()
    with _refusing(folder):
        _open_archive(folder)
        videos = folder.spec().options.videos
        if videos is not None:
            folder.write_video_arguments(video_arguments(videos, folder.inputs.resolve(), mounts or Mounts()))
        options = folder.spec().options
        return recipes(folder, options) if isinstance(options, TrainOptions) else ()


def prepare(folder: JobFolder, made: Mapping[str, str] | None = None, mounts: Mounts | None = None) -> Plan | None:
    """Stage a package that was opened; None if that was done before an interruption.

    A package that is refused takes its folder with it.

    Args:
        folder: the job's.
        made: the configs that `open_package` said have to be made.
        mounts: what the job may read beside its own files.

    Raises:
        PackageError, ConfigError: why it is refused.
    """
    if folder.state().state is not JobState.RECEIVED:
        return None
    with _refusing(folder):
        options = folder.spec().options
        match options:
            case TrainOptions():
                return stage(folder, options, made, mounts=mounts)
            case TrackOptions():
                return stage_track(folder, options, mounts or Mounts())
            case ExportOptions():
                return stage_export(folder, options)


@contextmanager
def _refusing(folder: JobFolder) -> Iterator[None]:
    try:
        yield
    except (PackageError, ConfigError):
        folder.remove()
        raise


def accept(folder: JobFolder, plan: Plan | None) -> None:
    """Queue a job that was prepared, or go on where that was interrupted.

    Args:
        folder: the job's.
        plan: what `prepare` returned, checked where there is a preflight.
    """
    if plan is not None:
        folder.write_spec(folder.spec().model_copy(update={"runs": plan.runs}))
        _journal_plan(folder, plan)
    folder.protect_inputs()
    if folder.state().state is JobState.STAGED:
        enter(folder, JobState.QUEUED)


def _open_archive(folder: JobFolder) -> None:
    """Replace a package that is one zip file, as simple peers send it, by its members."""
    unpacked, packed = folder.scratch / "unpacked", folder.scratch / "package"
    if not folder.inputs.exists():
        # a crash came between the two renames
        unpacked.rename(folder.inputs)
    entries = list(folder.inputs.iterdir())
    if len(entries) != 1 or entries[0].is_symlink() or not is_zip(entries[0]):
        return
    shutil.rmtree(unpacked, ignore_errors=True)
    unpack_zip(entries[0], unpacked)
    folder.inputs.rename(packed)
    unpacked.rename(folder.inputs)
    shutil.rmtree(packed)


def _journal_plan(folder: JobFolder, plan: Plan) -> None:
    enter(folder, JobState.STAGED)
    with Journal(folder.events) as journal:
        for notice in plan.notices:
            journal.append(Notice(text=notice[:2000]))


def enter(folder: JobFolder, state: JobState, error: ErrorInfo | None = None) -> None:
    """Write a job's next state; on disk when this returns."""
    before = folder.state()
    check_transition(before.state, state)
    with Journal(folder.events) as journal:
        event = journal.append(StateChanged(state=state, error=error, attempt=before.attempt), durable=True)
    folder.write_state(StateRecord(state=state, t=event.t, error=error, attempt=before.attempt))


def end(folder: JobFolder, state: JobState, error: ErrorInfo | None = None) -> None:
    """End a job that has no supervisor."""
    folder.write_exit(ExitRecord(state=state, error=error))
    enter(folder, state, error)


def command(folder: JobFolder, wanted: Command, *, waiting: bool) -> bool:
    """Pass a command on to a job's supervisor, or end a job that has none.

    Args:
        folder: the job's.
        wanted: the command.
        waiting: whether the job is in the queue.

    Returns:
        Whether the job was ended here.
    """
    if waiting:
        _catch_up(folder)
    record = folder.state()
    state = record.state
    if state.ended:
        return waiting
    if state in (JobState.RECEIVED, JobState.STAGED):
        end(folder, JobState.CANCELLED)
        return True
    # written first: if the end cannot be, whoever starts or settles the job finds the command
    folder.send_command(wanted)
    # what an earlier attempt has made comes home after a stop: that is for the supervisor to settle, in its turn
    keeps = wanted == "stop" and record.attempt > 1
    if not waiting or keeps or not folder.claim(this_process()):
        return False
    try:
        end(folder, JobState.CANCELLED)
    except ODD:
        folder.unclaim()
        raise
    remove_tree(folder.models)
    remove_tree(folder.before)
    return True


def tell_place(folder: JobFolder, place: Queued) -> None:
    """Journal the place of a job that waits, unless nothing is new about it since that was last told."""
    told: Queued | None = None
    for event in read_events(folder.events):
        if isinstance(event.body, Queued):
            told = event.body
        elif isinstance(event.body, StateChanged):
            told = None
    if told is None or told.position != place.position or (told.starts_in is None and place.starts_in is not None):
        with Journal(folder.events) as journal:
            journal.append(place)


def startable(folder: JobFolder) -> bool:
    """Whether a job that waits is still to be run."""
    _catch_up(folder)
    return folder.state().state is JobState.QUEUED


def resume(folder: JobFolder, state: JobState) -> bool:
    """Bring a job that was found unfinished on its way: True if it waits, False if it has, or had, a supervisor."""
    if state is JobState.STAGED:
        folder.protect_inputs()
        enter(folder, JobState.QUEUED)
    return state in (JobState.STAGED, JobState.QUEUED) and folder.supervisor() is None


def has_ended(folder: JobFolder) -> bool:
    """Whether ``state.json`` tells the job's end; False while it is missing or torn."""
    record = _state_if_readable(folder)
    return record is not None and record.state.ended


def clear_leftovers(root: Path) -> None:
    """Remove folders that were being made or removed when a worker died, and uploads that nobody went on with."""
    if not root.is_dir():
        return
    for path in root.iterdir():
        # two dots: a package that was only looked at, while its folder was being made
        if path.name.startswith((".j_", "..j_")) or (path.name.startswith(SELF_TEST) and _is_abandoned(path)):
            remove_tree(path)
    for folder in _received(root):
        try:
            if time.time() - _last_touched(folder.path) > ABANDONED_AFTER:
                folder.remove()
        except OSError as error:
            logger.warning("The abandoned job %s cannot be removed: %s", folder.job, error)


def _is_abandoned(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime > ABANDONED_AFTER


def _last_touched(path: Path) -> float:
    found = path.lstat().st_mtime
    for root, folders_, names in os.walk(path):
        found = max([found, *(Path(root, name).lstat().st_mtime for name in folders_ + names)])
    return found


def unfinished(root: Path) -> list[tuple[JobFolder, JobState]]:
    """The jobs that are not over, in the order in which they were queued; a folder that is none is passed over."""
    found = []
    for folder in folders(root):
        try:
            # where there is, or was, a supervisor, the file is its own until it is known to be gone
            attempts.finish(folder)
            if folder.supervisor() is None:
                _catch_up(folder)
            record = _state_if_readable(folder) or StateRecord(state=JobState.RUNNING, t=0)
            folder.spec()
        except ODD as error:
            logger.warning("Job %s cannot be read: %s", folder.job, error)
            continue
        if not record.state.ended:
            found.append((record.t, folder.job, folder, record.state))
    return [(folder, state) for _, _, folder, state in sorted(found, key=lambda entry: entry[:2])]


def settle(folder: JobFolder) -> None:
    """End a job whose supervisor is gone: as it had written down, as cancelled before it began, else as lost."""
    _catch_up(folder)
    state = folder.state().state
    if state.ended:
        return
    remove_tree(folder.scratch)
    if (record := folder.exit()) is not None:
        _enter_end(folder, record)
        return
    attempt = folder.state().attempt
    if attempt > 1:
        for run in folder.spec().runs:
            Remains(folder, run.name).merge()
    if state is JobState.QUEUED and folder.commands() and attempt == 1:
        end(folder, JobState.CANCELLED)
        return
    sentence = (
        f"The job was lost while it was {state}: its supervisor on this worker is gone, perhaps because the machine "
        f"was restarted. Runs that had ended are kept; the others go on from their last checkpoint with "
        f"'sleap-rtc jobs resume {folder.job}'."
    )
    end(folder, JobState.LOST, ErrorInfo(code="job_failed", sentence=sentence))


def _enter_end(folder: JobFolder, record: ExitRecord) -> None:
    # what the journal's table asks for between a run and a good end
    if record.state is JobState.DONE and folder.state().state is not JobState.FINISHING:
        enter(folder, JobState.FINISHING)
    enter(folder, record.state, record.error)


def _catch_up(folder: JobFolder) -> None:
    """Bring ``state.json`` up to the journal, which is written first."""
    states = [event for event in read_events(folder.events) if isinstance(event.body, StateChanged)]
    if not states or not isinstance(body := states[-1].body, StateChanged):
        return
    record = _state_if_readable(folder)
    if record is None or (record.state, record.attempt) != (body.state, body.attempt):
        folder.write_state(StateRecord(state=body.state, t=states[-1].t, error=body.error, attempt=body.attempt))


def _state_if_readable(folder: JobFolder) -> StateRecord | None:
    try:
        return folder.state_or_none()
    except StorageError:
        return None  # torn by a power cut; the journal knows
