"""The face for scripts: one JSON object a line.

Every object has ``event``:

- ``{"event": "reading", "package", "done", "total"}``: bytes of the package read before it is sent; only from the
  first second on, at most twice a second
- ``{"event": "connecting", "text"}``, ``{"event": "connected", "worker", "gpu", "path"}``: the path is
  ``{"way", "local", "remote", "carrier"}``, null where it is not known; the ways are ``host``, ``reflexive`` (through a
  router's address) and ``relay``, and ``udp``, ``tcp`` or ``tls`` carries packets to our own relay
- ``{"event": "upload", "sent", "total", "already"}``, ``{"event": "download", "received", "total"}``: bytes, at most
  twice a second, the last one always; ``sent`` are those that the worker has checked and written, over all links
- ``{"event": "upload_paused", "reason"}``, ``{"event": "upload_resumed"}``: the worker takes nothing just now, or
  goes on
- ``{"event": "job", "job": {"job", "name", "state", "submitted", "owner", "runs", "position", "starts_in", "last_seq",
  "error", …}}``: the worker has the job
- ``{"event": "progress", "seq", "t", "run", "type", …}``: an event of the job with its own number and the fields of
  its type (``state``, ``queued``, ``run_started``, ``epoch_started``, ``step``, ``epoch_ended``, ``frames``,
  ``run_ended``, ``notice``); ``metrics`` are sleap-nn's, under its names; epochs count from 0, as sleap-nn counts
- ``{"event": "log", "text"}``: a line of sleap-nn's log, with ``--logs``
- ``{"event": "link_lost", "reason"}``, ``{"event": "link_restored"}``
- ``{"event": "finished", "folders": [path, …]}`` for models, ``{"event": "finished", "files": [path, …]}`` for
  predictions, and one with both for a training that looks at data afterwards
- ``{"event": "exported", "model", "format", "digest", "outcome"}`` of ``models export`` instead: where it is now
- ``{"event": "detached", "job", "worker", "worker_id"}``: the last one, with ``--detach``; see `telling`
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from sleap_rtc.cli import output
from sleap_rtc.cli.progress import Clock, JobDisplay, LogLines, What, sorted_out
from sleap_rtc.cli.progress_transfer import Transfer, Upload
from sleap_rtc.protocol.jobs import Event, JobSummary
from sleap_rtc.transport.paths import NetworkPath

_INTERVAL = 0.5


class JsonDisplay(JobDisplay):
    """Writes what happens as JSON lines."""

    def __init__(self, stream: TextIO, *, logs: bool, clock: Clock) -> None:
        self._stream = stream
        self._logs = logs
        self._clock = clock
        self._last: dict[str, float] = {}
        self._complete: set[str] = set()
        self._log = LogLines()
        self._reading: Transfer | None = None
        self._upload: Upload | None = None

    def close(self) -> None:
        """Write what is left of the log."""
        self._log_lines(self._log.flush())

    def reading(self, package: str, done: int, total: int) -> None:
        """Write ``reading``, now and then, if it takes long."""
        now = self._clock()
        self._reading = self._reading or Transfer(done, total, now)
        if self._reading.is_slow(now) and self._due("reading", complete=done >= total):
            self._emit("reading", package=package, done=done, total=total)

    def connecting(self, text: str) -> None:
        """Write ``connecting``."""
        self._emit("connecting", text=text)

    def connected(self, worker_name: str, gpu_text: str, path: NetworkPath | None = None) -> None:
        """Write ``connected``."""
        way = None if path is None else {"way": path.way, **asdict(path)}
        self._emit("connected", worker=worker_name, gpu=gpu_text, path=way)

    def upload(self, sent: int, total: int, already: int) -> None:
        """Write ``upload``, now and then and at the end."""
        now = self._clock()
        upload = self._upload = self._upload or Upload(total, now)
        upload.report(sent, already, now)
        if self._due("upload", complete=upload.complete):
            self._emit("upload", sent=upload.moved, total=total, already=upload.already)

    def upload_paused(self, reason: str | None) -> None:
        """Write ``upload_paused`` or ``upload_resumed``."""
        if reason is None:
            self._emit("upload_resumed")
        else:
            self._emit("upload_paused", reason=reason)

    def accepted(self, summary: JobSummary) -> None:
        """Write ``job``."""
        self._emit("job", job=json.loads(summary.model_dump_json()))

    def event(self, event: Event) -> None:
        """Write ``progress``: the event with the fields of its body beside its number."""
        fields = json.loads(event.model_dump_json())
        body = fields.pop("body")
        self._emit("progress", **(body | fields))

    def log(self, text: str) -> None:
        """Write ``log`` for each line."""
        if self._logs:
            self._log_lines(self._log.feed(text))

    def link_lost(self, reason: str) -> None:
        """Write ``link_lost``."""
        self._emit("link_lost", reason=reason)

    def link_restored(self) -> None:
        """Write ``link_restored``."""
        self._emit("link_restored")

    def download(self, received: int, total: int) -> None:
        """Write ``download``, now and then and at the end."""
        if self._due("download", complete=received >= total):
            self._emit("download", received=received, total=total)

    def finished(self, places: Sequence[Path], what: What = "models") -> None:
        """Write ``finished``."""
        if what == "network":
            return
        folders, files = sorted_out(places, what)
        found = ({"folders": folders} if "models" in what else {}) | ({"files": files} if "predictions" in what else {})
        self._emit("finished", **{name: [str(place) for place in each] for name, each in found.items()})

    def _due(self, what: str, *, complete: bool) -> bool:
        if what in self._complete:
            return False
        if complete:
            self._complete.add(what)
        now = self._clock()
        due = complete or what not in self._last or now - self._last[what] >= _INTERVAL
        if due:
            self._last[what] = now
        return due

    def _log_lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._emit("log", text=line)

    def _emit(self, event: str, **fields: object) -> None:
        output.emit_json({"event": event, **fields}, self._stream)
