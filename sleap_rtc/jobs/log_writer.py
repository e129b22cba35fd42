"""The log of a job: what its processes print, made safe to read and held to a size."""

import re
from collections import deque
from pathlib import Path

from sleap_rtc.protocol.text import printable

_LINE_END = re.compile(rb"\r\n|\r|\n")
_FULL = b"[sleap-rtc: the log has reached its limit; what follows is not kept]\n"


class LogWriter:
    """Appends output to a log file, line by line; progress bars that redraw themselves become lines.

    Control characters and escape sequences are removed here, so that the file is safe for any terminal and its byte
    offsets are those of the text that watchers get.

    Args:
        path: the file; it is continued.
        max_size: bytes from which on nothing more is written.
        max_line: bytes of a line that are kept.
        tail: how many last lines `tail` holds.
    """

    def __init__(self, path: Path, *, max_size: int, max_line: int, tail: int) -> None:
        self._file = path.open("ab", buffering=0)
        self._left = max_size - self._file.tell()
        self._max_line = max_line
        self._partial = b""
        self._skipping = False
        self._last = tail
        self.tail: deque[str] = deque(maxlen=tail)

    def write(self, data: bytes) -> None:
        """Take the next piece of output; it need not end with a line."""
        if self._skipping and b"\n" not in data and b"\r" not in data:
            return  # a line without end costs as little as can be
        *whole, rest = _LINE_END.split(self._partial + data)
        if self._left <= 0 and len(whole) > self._last:
            # nothing is written any more, so that only what may be quoted is made fit to be
            whole, self._skipping = whole[-self._last :], False
        for line in whole:
            self._line(line)
        if len(rest) > self._max_line:
            self._line(rest)
            # the line is written; the rest of it is dropped as it comes
            self._skipping, rest = True, b""
        self._partial = rest

    def finish(self) -> None:
        """Write an unfinished last line."""
        if self._partial:
            self._line(self._partial)
        self._partial, self._skipping = b"", False

    def close(self) -> None:
        """Finish and close the file."""
        self.finish()
        self._file.close()

    def _line(self, line: bytes) -> None:
        if self._skipping:
            self._skipping = False
            return
        text = printable(line[: self._max_line].decode("utf-8", "replace"))
        if not text.strip():
            return
        self.tail.append(text)
        if self._left <= 0:
            return
        data = text.encode() + b"\n"
        self._left -= len(data)
        self._file.write(data if self._left > 0 else _FULL)
