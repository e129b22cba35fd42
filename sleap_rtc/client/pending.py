"""The client's journal of jobs under way, so that the same command typed again finds its job."""

import hashlib
import json
import re
from pathlib import Path

from sleap_rtc.config.paths import home, write_private
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.jobs import JobOptions


class PendingJobs:
    """Jobs that were submitted and whose results have not come home.

    Args:
        folder: where the journal lies; ``pending/`` in our home by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or home() / "pending"

    def key(self, worker_id: str, manifest_digest: str, options: JobOptions) -> str:
        """Name what makes two commands the same: worker, content and options."""
        text = "\n".join((worker_id, manifest_digest, options.model_dump_json()))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def find(self, key: str) -> str | None:
        """Return the job written down under `key`, or None."""
        try:
            job = json.loads(self._path(key).read_text("utf-8"))["job"]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # never written, or torn by a crash: then the job is submitted anew
        return job if isinstance(job, str) and is_id("job", job) else None

    def write(self, key: str, job: str, name: str) -> None:
        """Write a job down; on disk before the first byte is sent."""
        write_private(self._path(key), json.dumps({"job": job, "name": name}).encode())

    def forget(self, job: str) -> None:
        """Remove a job whose results are home, or that ended without any."""
        for path in self._folder.glob("*.json"):
            if self.find(path.stem) == job:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{32}", key):
            raise ValueError("not a key of this journal")
        return self._folder / f"{key}.json"
