"""What a client command shows while a job is on its way: one interface, three faces.

`make_display` picks the face: a live picture on a terminal, plain lines in a pipe, JSON objects for ``--json``. The
command that runs a job only says what happened; it never knows which face is listening.
"""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Literal, Self, TextIO

from sleap_rtc.protocol.jobs import Event, JobSummary
from sleap_rtc.transport.paths import NetworkPath

Clock = Callable[[], float]
What = Literal["models", "predictions", "models and predictions", "network"]
_LOG_LINE = 8192


class JobDisplay(ABC):
    """Shows one job from the first connection to the results that it brought home."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - most faces hold nothing
        """Leave the screen as it should stay."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the picture still, so that the user can be asked something."""
        yield

    @abstractmethod
    def reading(self, package: str, done: int, total: int) -> None:
        """Show the package being read and hashed, before anything is sent; what is quick is not worth a word.

        Args:
            package: its name.
            done: bytes read since it began.
            total: bytes there are.
        """

    @abstractmethod
    def connecting(self, text: str) -> None:
        """Say what is being tried: ``text`` is a clause such as ``the service at http://…``."""

    @abstractmethod
    def connected(self, worker_name: str, gpu_text: str, path: NetworkPath | None = None) -> None:
        """Say which worker answered, what it computes on, and which way the link goes, where that is known."""

    @abstractmethod
    def upload(self, sent: int, total: int, already: int) -> None:
        """Show the upload; call it with ``sent`` 0 first, then as often as you like.

        On a new link ``sent`` and ``already`` begin anew, and what arrived over an earlier one counts as there.

        Args:
            sent: bytes that were sent and that the worker has checked and written.
            total: bytes of the whole package; the upload is complete when ``sent + already`` reaches it.
            already: bytes that the worker had before and that are not sent, as far as it has found them.
        """

    @abstractmethod
    def upload_paused(self, reason: str | None) -> None:
        """Say, once, why the worker takes nothing just now, as a sentence; None when it goes on."""

    @abstractmethod
    def accepted(self, summary: JobSummary) -> None:
        """Say that the worker has the job on its disk."""

    @abstractmethod
    def event(self, event: Event) -> None:
        """Show one numbered event of the job."""

    @abstractmethod
    def log(self, text: str) -> None:
        """Show a part of sleap-nn's log; it may begin and end in the middle of a line."""

    @abstractmethod
    def link_lost(self, reason: str) -> None:
        """Say, once, that the worker is out of reach and that the command keeps trying."""

    @abstractmethod
    def link_restored(self) -> None:
        """Say that the worker is back."""

    @abstractmethod
    def download(self, received: int, total: int) -> None:
        """Show the results coming home; call it with what is there already first."""

    @abstractmethod
    def finished(self, places: Sequence[Path], what: What = "models") -> None:
        """Say where the results are.

        Args:
            places: folders of models, or files of predictions; of a network that was exported there are none.
            what: which of them.
        """


def sorted_out(places: Sequence[Path], what: What) -> tuple[list[Path], list[Path]]:
    """The folders of models among results, and the files of predictions. Looks at the disk where there may be both."""
    files = {place for place in places if what == "predictions" or (what != "models" and place.is_file())}
    return [place for place in places if place not in files], [place for place in places if place in files]


class LogLines:
    """Cuts a log that arrives in pieces into whole lines; of a progress bar's redrawings the last one counts."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """Return the lines that `text` completes."""
        *lines, self._rest = (self._rest + text.replace("\r\n", "\n")).split("\n")
        if len(self._rest) > _LOG_LINE:
            lines.append(self._rest)
            self._rest = ""
        return [line.rstrip("\r").rpartition("\r")[2] for line in lines]

    def flush(self) -> list[str]:
        """Return what is left when nothing more will come."""
        rest, self._rest = self._rest, ""
        return [rest.rstrip("\r").rpartition("\r")[2]] if rest.strip() else []


def make_display(
    *, json: bool = False, logs: bool = False, stream: TextIO | None = None, clock: Clock = monotonic
) -> JobDisplay:
    """Pick the face for `stream`.

    Args:
        json: one JSON object a line, whatever the stream is.
        logs: show sleap-nn's log too.
        stream: stdout by default.
        clock: seconds, for rates and remaining times.
    """
    stream = stream or sys.stdout
    if json:
        from sleap_rtc.cli.progress_json import JsonDisplay

        return JsonDisplay(stream, logs=logs, clock=clock)
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        from sleap_rtc.cli.progress_rich import RichDisplay

        return RichDisplay(stream, logs=logs, clock=clock)
    from sleap_rtc.cli.progress_lines import LinesDisplay

    return LinesDisplay(stream, logs=logs, clock=clock)
