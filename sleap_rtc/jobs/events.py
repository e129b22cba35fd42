"""The numbered journal of a job, its log, and how both are read while they grow.

Event n is line n of ``events.jsonl``: numbers have no gaps, so a reader finds its place by counting lines. A line is
there when its newline is; what a crash left behind the last newline was never seen by anybody and is cut off.
"""

import codecs
import os
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.errors import StorageError
from sleap_rtc.protocol.jobs import Event, EventBody
from sleap_rtc.protocol.text import printable

from .files import storage_error

_BLOCK = 64 * 1024
MAX_TEXT = 16 * 1024
"""Bytes of log in one piece: it fits into a message whatever its characters."""


class Journal:
    """Writes events, from any thread. One process at a time may hold a job's journal.

    Args:
        path: the file; it is made, or repaired and continued.
        clock: UTC milliseconds.
    """

    def __init__(self, path: Path, clock: Callable[[], int] = utc_ms) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._path = path
        try:
            self.last_seq = _repair(path) if path.exists() else 0
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise storage_error(path, error) from error
        self._file = os.fdopen(descriptor, "ab", buffering=0)
        self.size = os.fstat(descriptor).st_size

    def append(self, body: EventBody, run: str | None = None, *, durable: bool = False) -> Event:
        """Write the next event, whole or not at all; with `durable` it is on disk when this returns.

        Raises:
            StorageError: if the disk is full or refuses; the journal is as it was, and goes on.
        """
        with self._lock:
            event = Event(seq=self.last_seq + 1, t=self._clock(), run=run, body=body)
            line = event.model_dump_json().encode() + b"\n"
            try:
                self._write(line, durable)
            except OSError as error:
                # half a line would grow together with the next one
                with suppress(OSError):
                    os.ftruncate(self._file.fileno(), self.size)
                raise storage_error(self._path, error) from error
            self.last_seq = event.seq
            self.size += len(line)
        return event

    def _write(self, line: bytes, durable: bool) -> None:
        self._mend()
        left = memoryview(line)
        while left:
            left = left[self._file.write(left) or 0 :]
        if durable:
            os.fsync(self._file.fileno())

    def _mend(self) -> None:
        """Cut off what a failed write left where the disk did not even let it be cut off."""
        if os.fstat(self._file.fileno()).st_size != self.size:
            os.ftruncate(self._file.fileno(), self.size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _repair(path: Path) -> int:
    """Cut off what follows the last newline; return the number of whole lines."""
    lines = end = position = 0
    with path.open("r+b") as file:
        while block := file.read(_BLOCK):
            lines += block.count(b"\n")
            if (last := block.rfind(b"\n")) >= 0:
                end = position + last + 1
            position += len(block)
        if position > end:
            file.truncate(end)
    return lines


class EventReader:
    """Reads a journal from an event on, and goes on reading as it grows.

    Args:
        path: the journal; it need not exist yet.
        since: the first event read is the one after this number.
        without: types of events that are passed over unread: most of a long journal tells of steps.
    """

    def __init__(self, path: Path, since: int = 0, *, without: Collection[str] = ()) -> None:
        self._path = path
        # as our own journal writes it; what a job wrote stands within a string, where quotes are escaped
        self._without = [f'"body":{{"type":"{kind}"'.encode() for kind in without]
        self._skip = since
        self._offset = 0

    def read(self, limit: int = 500) -> list[Event]:
        """The next whole events, at most `limit`; empty if there is nothing new."""
        try:
            if self._path.stat().st_size <= self._offset:
                return []
            file = self._path.open("rb")
        except FileNotFoundError:
            return []
        found: list[Event] = []
        with file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n") or len(found) >= limit:
                    break
                self._offset += len(line)
                if self._skip:
                    self._skip -= 1
                elif not any(mark in line for mark in self._without):
                    found.append(_parse(self._path, line))
        return found


def read_events(path: Path, since: int = 0) -> list[Event]:
    """All events of a journal after number `since`."""
    reader = EventReader(path, since)
    found: list[Event] = []
    while events := reader.read():
        found += events
    return found


def last_seq(path: Path) -> int:
    """The number of the last whole event; 0 for an empty or missing journal."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return 0
    with file:
        end = file.seek(0, os.SEEK_END)
        tail, start = b"", end
        while start > 0 and tail.count(b"\n") < 2:
            start = max(0, start - _BLOCK)
            file.seek(start)
            tail = file.read(end - start)
    lines = tail[: tail.rfind(b"\n") + 1].splitlines()
    return _parse(path, lines[-1]).seq if lines else 0


def _parse(path: Path, line: bytes) -> Event:
    try:
        return Event.model_validate_json(line)
    except ValidationError as error:
        raise StorageError(f"The journal '{path}' is damaged: the job cannot be read.") from error


def read_log(path: Path, offset: int, *, whole_lines: bool = True) -> tuple[int, str]:
    """Read a piece of a log from byte `offset` on.

    Args:
        path: the log; it need not exist yet.
        offset: where to begin, in bytes.
        whole_lines: hold an unfinished last line back, for more of it may come.

    Returns:
        The byte to read on from, and the text before it, safe for a terminal.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(MAX_TEXT)
    except FileNotFoundError:
        return offset, ""
    if whole_lines or len(data) == MAX_TEXT:
        # a longer line than a piece is passed on in parts
        data = data[: data.rfind(b"\n") + 1] or (_whole_characters(data) if len(data) == MAX_TEXT else b"")
    return offset + len(data), printable(data.decode("utf-8", "replace"), limit=MAX_TEXT)


def _whole_characters(data: bytes) -> bytes:
    """Leave a UTF-8 character whose end is missing to the next piece."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    unfinished, _ = decoder.getstate()
    return data[: len(data) - len(unfinished)]
