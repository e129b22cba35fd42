"""What the worker itself writes into a job's folder: before its supervisor has it, and after a supervisor was lost."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.jobs import JobSpec, JobState, Notice, StateChanged, check_transition

from .archive import is_zip, unpack_zip
from .events import Journal, read_events
from .folder import ExitRecord, JobFolder, StateRecord
from .plan import Plan, stage
from .processes import this_process


def now_ms() -> int:
    """UTC milliseconds."""
    return time.time_ns() // 1_000_000


def folders(root: Path) -> Iterator[JobFolder]:
    """The jobs of a root, in any order."""
    if root.is_dir():
        yield from (JobFolder(path) for path in root.iterdir() if is_id("job", path.name) and path.is_dir())


def receive(root: Path, spec: JobSpec) -> JobFolder:
    """Make the folder of a new job, ready for its files."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = JobFolder.create(root / spec.job, spec)
    with Journal(folder.events) as journal:
        event = journal.append(StateChanged(state=JobState.RECEIVED), durable=True)
    folder.write_state(StateRecord(state=JobState.RECEIVED, t=event.t))
    return folder


def accept(folder: JobFolder) -> None:
    """Open the package, stage it and queue it; a package that is refused takes its folder with it.

    Raises:
        PackageError, ConfigError: why it is refused.
    """
    try:
        _open_archive(folder)
        plan = stage(folder)
    except (PackageError, ConfigError):
        folder.remove()
        raise
    folder.protect_inputs()
    folder.write_spec(folder.spec().model_copy(update={"runs": plan.runs}))
    _journal_plan(folder, plan)
    enter(folder, JobState.QUEUED)


def _open_archive(folder: JobFolder) -> None:
    """Replace a package that is one zip file, as simple peers send it, by its members."""
    entries = list(folder.inputs.iterdir())
    if len(entries) != 1 or entries[0].is_symlink() or not is_zip(entries[0]):
        return
    packed = folder.scratch / "package.zip"
    entries[0].rename(packed)
    folder.inputs.rmdir()
    unpack_zip(packed, folder.inputs)
    packed.unlink()


def _journal_plan(folder: JobFolder, plan: Plan) -> None:
    enter(folder, JobState.STAGED)
    with Journal(folder.events) as journal:
        for notice in plan.notices:
            journal.append(Notice(text=notice[:2000]))


def enter(folder: JobFolder, state: JobState, error: ErrorInfo | None = None) -> None:
    """Write a job's next state; on disk when this returns."""
    check_transition(folder.state().state, state)
    with Journal(folder.events) as journal:
        event = journal.append(StateChanged(state=state, error=error), durable=True)
    folder.write_state(StateRecord(state=state, t=event.t, error=error))


def end(folder: JobFolder, state: JobState, error: ErrorInfo | None = None) -> None:
    """End a job that has no supervisor."""
    folder.write_exit(ExitRecord(state=state, error=error))
    enter(folder, state, error)


def cancel_unclaimed(folder: JobFolder) -> bool:
    """Cancel a job that no supervisor has claimed; False if one has."""
    if not folder.claim(this_process()):
        return False
    end(folder, JobState.CANCELLED)
    return True


def clear_leftovers(root: Path) -> None:
    """Remove the folders that were being made or removed when a worker died."""
    if root.is_dir():
        for path in root.iterdir():
            if path.name.startswith(".j_") and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def unfinished(root: Path) -> list[tuple[JobFolder, JobState]]:
    """The jobs that are not over, in the order in which they were queued."""
    found = []
    for folder in folders(root):
        # where there is, or was, a supervisor, the file is its own until it is known to be gone
        if folder.supervisor() is None:
            _catch_up(folder)
        record = folder.state()
        if not record.state.ended:
            found.append((record.t, folder.job, folder, record.state))
    return [(folder, state) for _, _, folder, state in sorted(found, key=lambda entry: entry[:2])]


def settle(folder: JobFolder) -> None:
    """Mark a job whose supervisor is gone as lost, unless it had written down another end."""
    _catch_up(folder)
    state = folder.state().state
    if state.ended:
        return
    sentence = (
        f"The job was lost while it was {state}: its supervisor on this worker is gone, perhaps because the machine "
        "was restarted. Runs that had ended are kept; submit the job again for the others."
    )
    end(folder, JobState.LOST, ErrorInfo(code="job_failed", sentence=sentence))


def _catch_up(folder: JobFolder) -> None:
    """Bring ``state.json`` up to the journal, which is written first."""
    states = [event for event in read_events(folder.events) if isinstance(event.body, StateChanged)]
    if not states or not isinstance(body := states[-1].body, StateChanged):
        return
    if folder.state_or_none() is None or folder.state().state is not body.state:
        folder.write_state(StateRecord(state=body.state, t=states[-1].t, error=body.error))
