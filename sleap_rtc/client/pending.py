"""The client's journal of jobs under way, so that the same command typed again finds its job."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sleap_rtc.config.paths import home, write_private
from sleap_rtc.protocol.ids import JobId
from sleap_rtc.protocol.options import JobOptions

_NAME = re.compile(r"[0-9a-f]{32}\.json")


class PendingJob(BaseModel):
    """A job that was submitted and whose results have not come home.

    Attributes:
        job: its id.
        name: what its package is called.
        content: what `content_of` says of its package and options.
        server: the service through which its worker was found.
        room: the room of the worker.
        worker_id: the worker that has it.
        worker_name: what that worker called itself.
        session: the session string that led to the worker, a secret; empty in a room with members.
        since: when it was written down, in UTC milliseconds.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    job: JobId
    name: str = ""
    content: str = ""
    server: str = ""
    room: str = ""
    worker_id: str = ""
    worker_name: str = ""
    session: str = Field(default="", repr=False)
    since: int = 0


def content_of(manifest_digest: str, options: JobOptions) -> str:
    """Name what makes two jobs the same wherever they run: content and options."""
    return f"{manifest_digest}\n{options.model_dump_json()}"


class PendingJobs:
    """The journal: a file for each job.

    Args:
        folder: where it lies; ``pending/`` in our home by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or home() / "pending"

    def find(self, worker_id: str, content: str) -> PendingJob | None:
        """Return the job of this content that was given to a worker, or None."""
        return _read(self._path(worker_id, content))

    def find_in_room(self, server: str, room: str, content: str) -> PendingJob | None:
        """Return the latest job of this content that was given to any worker of a room, or None."""
        found = [each for each in self.all() if (each.server, each.room, each.content) == (server, room, content)]
        return found[-1] if found else None

    def named(self, text: str) -> list[PendingJob]:
        """The jobs whose id is `text` or begins with it, the oldest first."""
        found = [each for each in self.all() if each.job.startswith(text)]
        return [each for each in found if each.job == text] or found

    def all(self) -> list[PendingJob]:
        """Every job of the journal, the oldest first."""
        return sorted((job for _, job in self._entries()), key=lambda each: (each.since, each.job))

    def write(self, job: PendingJob) -> None:
        """Write a job down; on disk before its first byte is sent. An earlier one of the same content gives way."""
        write_private(self._path(job.worker_id, job.content), job.model_dump_json(indent=1).encode())

    def forget(self, job: str) -> None:
        """Remove a job whose results are home, or that ended without any."""
        for path, entry in self._entries():
            if entry.job == job:
                path.unlink(missing_ok=True)

    def _entries(self) -> Iterator[tuple[Path, PendingJob]]:
        for path in self._folder.glob("*.json"):
            entry = _read(path) if _NAME.fullmatch(path.name) else None
            if entry:
                yield path, entry

    def _path(self, worker_id: str, content: str) -> Path:
        return self._folder / (hashlib.sha256(f"{worker_id}\n{content}".encode()).hexdigest()[:32] + ".json")


def _read(path: Path) -> PendingJob | None:
    try:
        return PendingJob.model_validate(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, ValidationError):
        return None  # never written, or torn by a crash: then the job is submitted anew
