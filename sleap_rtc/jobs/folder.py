"""The folder of a job: everything that is known about it, and the only place where it is kept."""

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sleap_rtc.config.durable import sync_folder
from sleap_rtc.errors import NotFoundError, PackageError, StorageError
from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.files import MAX_ENTRIES, check_path, colliding
from sleap_rtc.protocol.jobs import JobSpec, JobState, RunEnded, StateChanged

from .events import Journal, read_events
from .files import create_exclusively, remove_tree, storage_error, write_atomically
from .processes import ProcessRecord

Command = Literal["stop", "cancel"]
R = TypeVar("R", bound=BaseModel)
_MOST_LOOKED_AT = 5 * MAX_ENTRIES
"""Entries of all kinds in the folders of a job's models, however many of them are no files."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StateRecord(_Record):
    """``state.json``: the last state of the journal, for whoever does not want to read all of it."""

    state: JobState
    t: int
    error: ErrorInfo | None = None
    attempt: int = 1


class _NextAttempt(_Record):
    attempt: int


class RunResult(_Record):
    """How a run ended, for ``exit.json``."""

    name: str
    outcome: Literal["done", "stopped", "failed", "cancelled"]
    exit_code: int | None = None
    folder: str | None = None


class ExitRecord(_Record):
    """``exit.json``: how the job ended."""

    state: JobState
    runs: tuple[RunResult, ...] = ()
    error: ErrorInfo | None = None


class ResultFile(NamedTuple):
    """A file that goes home: its path below the client's models folder, and where it lies here."""

    path: str
    source: Path


class JobFolder:
    """One job on disk. The methods block: from asyncio, call them in a thread.

    Args:
        path: the folder, named as the job.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job = path.name
        self.inputs = path / "inputs"
        self.work = path / "work"
        self.models = self.work / "models"
        self.before = self.work / "before"
        self.scratch = self.work / "tmp"
        self.control = path / "control"
        self.events = self.control / "events.jsonl"
        self.log = self.control / "log.txt"
        self.kept = self.control / "kept"
        self.configs = self.control / "runs"
        self.supervisor_log = self.control / "supervisor.log"
        self._spec = path / "spec.json"
        self._state = self.control / "state.json"
        self._exit = self.control / "exit.json"
        self._supervisor = self.control / "supervisor.json"
        self._commands = self.control / "commands"
        self._devices = self.control / "devices.json"
        self._videos = self.control / "videos.json"
        self._attempts = self.control / "attempts"
        self._next_attempt = self.control / "next_attempt.json"

    def __repr__(self) -> str:
        return f"JobFolder({str(self.path)!r})"

    @classmethod
    def create(cls, path: Path, spec: JobSpec) -> "JobFolder":
        """Make the folder of a new job, in its first state, whole or not at all.

        Raises:
            StorageError: if the disk refuses.
        """
        fresh = cls(path.with_name(f".{path.name}-{secrets.token_hex(6)}"))
        try:
            for folder in (fresh.inputs, fresh.models, fresh.scratch, fresh._commands):
                folder.mkdir(parents=True, mode=0o700)
            fresh.path.chmod(0o700)
            fresh.write_spec(spec)
            with Journal(fresh.events) as journal:
                event = journal.append(StateChanged(state=JobState.RECEIVED), durable=True)
            fresh.write_state(StateRecord(state=JobState.RECEIVED, t=event.t))
            fresh.path.rename(path)
            sync_folder(path.parent)
        except StorageError:
            shutil.rmtree(fresh.path, ignore_errors=True)
            raise
        except OSError as error:
            shutil.rmtree(fresh.path, ignore_errors=True)
            raise storage_error(path, error) from error
        return cls(path)

    def remove(self) -> None:
        """Delete the job and all that it holds."""
        self._make_inputs_writable()
        # renamed first, so that a folder half deleted is never taken for a job
        doomed = self.path.with_name(f".{self.path.name}-{secrets.token_hex(6)}")
        self.path.rename(doomed)
        remove_tree(doomed)  # the next start of a worker tries again

    def spec(self) -> JobSpec:
        """What was asked for.

        Raises:
            NotFoundError: if the folder holds no readable spec.
        """
        return self._required(self._spec, JobSpec)

    def write_spec(self, spec: JobSpec) -> None:
        """Write ``spec.json``; on disk when this returns."""
        write_atomically(self._spec, spec.model_dump_json(indent=1).encode())

    def state(self) -> StateRecord:
        """Where the job stands."""
        return self._required(self._state, StateRecord)

    def state_or_none(self) -> StateRecord | None:
        """Where the job stands; None if a crash came before that was written."""
        return self._optional(self._state, StateRecord)

    def state_stamp(self) -> tuple[int, int]:
        """What is another one whenever ``state.json`` was written again."""
        found = self._state.stat()
        return found.st_ino, found.st_mtime_ns

    def write_state(self, record: StateRecord) -> None:
        """Write ``state.json``; on disk when this returns."""
        write_atomically(self._state, record.model_dump_json().encode())

    def exit(self) -> ExitRecord | None:
        """How the job ended; None before."""
        return self._optional(self._exit, ExitRecord)

    def write_exit(self, record: ExitRecord) -> None:
        """Write ``exit.json``; on disk when this returns."""
        write_atomically(self._exit, record.model_dump_json(indent=1).encode())

    def supervisor(self) -> ProcessRecord | None:
        """Who claimed the job; None before anybody did."""
        return self._optional(self._supervisor, ProcessRecord)

    def claim(self, record: ProcessRecord) -> bool:
        """Become the one supervisor of the job's attempt, for ever; False if it has, or had, another one."""
        return create_exclusively(self._supervisor, record.model_dump_json().encode())

    def unclaim(self) -> None:
        """Give a claim of this process back."""
        self._supervisor.unlink(missing_ok=True)

    def heartbeat(self, record: ProcessRecord) -> None:
        """Renew ``supervisor.json`` of the claimed job."""
        write_atomically(self._supervisor, record.model_dump_json().encode(), durable=False)

    def send_command(self, command: Command) -> None:
        """Leave a command for the supervisor; on disk when this returns."""
        write_atomically(self._commands / command, b"")

    def commands(self) -> set[str]:
        """The commands left so far. ``cancel`` outranks ``stop``."""
        return {entry.name for entry in self._commands.iterdir() if entry.name in ("stop", "cancel")}

    def write_devices(self, devices: tuple[str, ...], slots: tuple[str, ...]) -> None:
        """Note which slots and devices the job was given; on disk when this returns."""
        write_atomically(self._devices, json.dumps({"slots": slots, "devices": devices}).encode())

    def devices(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the slots and the devices that the job was given; both empty before it was."""
        if not self._devices.exists():
            return (), ()
        try:
            found = json.loads(self._devices.read_bytes())
            return tuple(found["slots"]), tuple(found["devices"])
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"'{self._devices}' is damaged: the job cannot be read.") from error

    def write_video_arguments(self, arguments: tuple[str, ...]) -> None:
        """Note the arguments that tell sleap-nn where the videos are; on disk when this returns."""
        write_atomically(self._videos, json.dumps(arguments).encode())

    def video_arguments(self) -> tuple[str, ...]:
        """The arguments that tell sleap-nn where the videos are; none where the labels need no other files."""
        try:
            return tuple(map(str, json.loads(self._videos.read_bytes())))
        except FileNotFoundError:
            return ()
        except (ValueError, TypeError) as error:
            raise StorageError(f"'{self._videos}' is damaged: the job cannot be read.") from error

    def was_given_devices(self) -> bool:
        """Whether the job ever had its turn, so that a supervisor may have been started for it."""
        return self._devices.exists()

    def next_attempt(self) -> int | None:
        """The attempt that was promised and is not yet begun; None if there is none."""
        record = self._optional(self._next_attempt, _NextAttempt)
        return record.attempt if record else None

    def promise_attempt(self, attempt: int) -> None:
        """Promise another attempt: from here on, it comes about whatever crashes; on disk when this returns."""
        write_atomically(self._next_attempt, _NextAttempt(attempt=attempt).model_dump_json().encode())

    def keep_promise(self) -> None:
        """Note that the promised attempt has begun."""
        self._next_attempt.unlink(missing_ok=True)

    def set_aside(self, attempt: int) -> None:
        """Move what belongs to an attempt that is over out of the next one's way, or go on doing so after a crash.

        Raises:
            StorageError: if the disk refuses.
        """
        old = self._attempts / str(attempt)
        try:
            old.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in (self._supervisor, self._exit, self._devices, self._commands):
                if path.exists() and not (old / path.name).exists():
                    path.rename(old / path.name)
            self._commands.mkdir(exist_ok=True, mode=0o700)
            sync_folder(old)
            sync_folder(self.control)
        except OSError as error:
            raise storage_error(old, error) from error

    def config_of(self, run: str) -> Path:
        """Where the config of a run is kept, which every attempt begins with: no job can write there."""
        return self.configs / run / "config.yaml"

    def task_of(self, run: str) -> Path:
        """Where it is kept what a run does that trains nothing, likewise."""
        return self.configs / run / "task.json"

    def config_in_use(self, run: str) -> Path:
        """Where a run finds its config, with the ports of its runner: the job's own, and never read again."""
        return self.work / "runs" / run / "config.yaml"

    def protect_inputs(self) -> None:
        """Make the package read-only."""
        for root, _, names in os.walk(self.inputs):
            for name in names:
                Path(root, name).chmod(0o400)
            Path(root).chmod(0o500)

    def _make_inputs_writable(self) -> None:
        for root, _, _ in os.walk(self.inputs):
            Path(root).chmod(0o700)

    def results(self) -> list[ResultFile]:
        """The files of the runs that ended well: plain files with names that any system takes; none after a cancel."""
        if self.state().state is JobState.CANCELLED or not all(map(is_real_folder, (self.work, self.models))):
            return []
        # a run that was resumed has ended more than once: the latest end counts
        ends = {event.run: event.body for event in read_events(self.events) if isinstance(event.body, RunEnded)}
        folders = dict.fromkeys(body.folder for body in ends.values() if body.folder)
        looked = _Looked()
        found = {file.path: file for name in folders for file in _plain_files(self.models / name, name, looked)}
        if len(found) > MAX_ENTRIES or looked.count > _MOST_LOOKED_AT:
            raise StorageError(f"The job wrote more than {MAX_ENTRIES} files into its models: they cannot be fetched.")
        # two that are one file on another system would keep all of them from coming home
        for path in list(colliding(found)):
            del found[path]
        return sorted(found.values())

    def _required(self, path: Path, kind: type[R]) -> R:
        found = self._optional(path, kind)
        if found is None:
            raise NotFoundError(f"The job {self.job} has no {path.name}: its folder is incomplete.")
        return found

    def _optional(self, path: Path, kind: type[R]) -> R | None:
        try:
            return kind.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StorageError(f"'{path}' is damaged: the job cannot be read.") from error


def is_real_folder(path: Path) -> bool:
    """Whether there is a folder at `path` itself, and not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_plain(path: Path) -> bool:
    """Whether there is a file at `path` itself, and not a link to one."""
    return path.is_file() and not path.is_symlink()


@dataclass
class _Looked:
    """How many entries of the folders that a job wrote have been looked at."""

    count: int = 0


def _plain_files(folder: Path, prefix: str, looked: _Looked, depth: int = 0) -> Iterator[ResultFile]:
    """Files below a folder that a job wrote: links, pipes and names that are no names elsewhere are passed over."""
    if depth > 16 or not is_real_folder(folder):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            looked.count += 1
            if looked.count > _MOST_LOOKED_AT:
                return
            path = f"{prefix}/{entry.name}"
            if not _allowed(path):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _plain_files(Path(entry.path), path, looked, depth + 1)
            elif entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_nlink == 1:
                yield ResultFile(path, Path(entry.path))


def _allowed(path: str) -> bool:
    try:
        check_path(path)
    except PackageError:
        return False
    return True
