"""The only place of this package that prints.

What other people wrote may stand in any text, so everything passes `printable` on its way out. A reader that went
away (``sleap-rtc jobs list | head -1``) ends the command quietly. This module stays light: rich is imported by the
functions that need it.
"""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO

import click

from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.text import printable

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 80
# characters of a value that still say something
_READABLE = 11
# columns that are there to be typed again
_COPIED = ("id", "model")
_LIMIT = 1_000_000
_CLOSED_PIPE_EXIT = 1


def say(text: str = "") -> None:
    """Print `text` on stdout: what the user asked for."""
    write_line(text, sys.stdout)


def note(text: str = "") -> None:
    """Print `text` on stderr: what the user should know beside the answer."""
    write_line(text, sys.stderr)


def warn(text: str) -> None:
    """Print ``warning: text`` on stderr."""
    _labelled("warning", "yellow", text)


def fail(error: SleapRTCError | str) -> int:
    """Print ``error: sentence`` on stderr and return the exit code that belongs to it."""
    _labelled("error", "red", error if isinstance(error, str) else error.sentence)
    return 1 if isinstance(error, str) else error.exit_code


def emit_json(obj: Mapping[str, object] | Sequence[object], stream: TextIO | None = None) -> None:
    """Print `obj` as one line of JSON, in ASCII: what could steer a terminal leaves escaped."""
    line = json.dumps(obj, separators=(", ", ": "), ensure_ascii=True, allow_nan=False)
    _write(line, stream or sys.stdout)


def write_line(text: str, stream: TextIO) -> None:
    """Print `text` and a newline on `stream`, without whatever could steer a terminal; a terminal gets whole words."""
    _write(_fitted(printable(text, limit=_LIMIT), stream), stream)


def write_text(text: str) -> None:
    """Print a piece of a longer text on stdout line breaks and all, without whatever could steer a terminal."""
    _write(printable(text, limit=_LIMIT), sys.stdout, newline=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO | None = None) -> None:
    """Print `rows` under `columns`; long values are shortened on a terminal only, a pipe gets all of them."""
    stream = stream or sys.stdout
    cells = [[printable(cell).replace("\n", " ").replace("\t", " ") for cell in row] for row in (columns, *rows)]
    room = shutil.get_terminal_size((WIDTH, 24)).columns if stream.isatty() else None
    for line in format_table(cells, room):
        write_line(line, stream)


def format_table(cells: Sequence[Sequence[str]], room: int | None) -> list[str]:
    """Lay out `cells` (the first row is the heading) in columns, two spaces apart.

    Args:
        cells: rows of equal length.
        room: characters a line may have; None for no limit. The widest column gives way, and one of ids or of models
            last: they are there to be copied.
    """
    from rich.cells import cell_len, set_cell_size

    widths = [max(cell_len(cell) for cell in column) for column in zip(*cells, strict=True)]
    if room is not None:
        widths = _narrowed(widths, room - 2 * (len(widths) - 1), [heading in _COPIED for heading in cells[0]])

    def fitted(cell: str, width: int) -> str:
        return set_cell_size(cell if cell_len(cell) <= width else set_cell_size(cell, width - 1) + "…", width)

    return ["  ".join(fitted(*pair) for pair in zip(row, widths, strict=True)).rstrip() for row in cells]


def _narrowed(widths: Sequence[int], room: int, copied: Sequence[bool]) -> list[int]:
    """Widths that sum up to `room`: the widest give way, and only if that would leave too little, those `copied`."""
    others = [width for width, kept in zip(widths, copied, strict=True) if not kept]
    left = room - sum(widths) + sum(others)
    if any(copied) and sum(min(width, _READABLE) for width in others) <= left:
        narrowed = iter(_narrowed(others, left, [False] * len(others)))
        return [width if kept else next(narrowed) for width, kept in zip(widths, copied, strict=True)]
    narrow = list(widths)
    while sum(narrow) > room and max(narrow) > 4:
        narrow[narrow.index(max(narrow))] -= 1
    return narrow


def coloured(stream: TextIO) -> bool:
    """Tell whether colours belong on `stream`: a terminal that knows them, and no NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def console(stream: TextIO | None = None) -> "Console":
    """Return a rich console for `stream`; markup, emoji and automatic highlighting are off: texts come from peers."""
    from rich.console import Console

    return Console(file=stream or sys.stdout, markup=False, emoji=False, highlight=False, soft_wrap=False)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say on stderr that something is waited for while the body runs; on a terminal it is seen to go on."""
    if not sys.stderr.isatty():
        note(f"{text}.")
        yield
        return
    with console(sys.stderr).status(f"{text} (Ctrl-C ends)"):
        yield


def show_cursor() -> None:
    """Bring the cursor back after a child that drew a live picture was ended."""
    if sys.stdout.isatty():
        console(sys.stdout).show_cursor(True)


def _fitted(text: str, stream: TextIO) -> str:
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size((WIDTH, 24)).columns
    return "\n".join(_folded(line, width) for line in text.split("\n"))


def _folded(line: str, width: int) -> str:
    # what begins with spaces is laid out already (examples, tables), and long words are there to be copied
    if len(line) <= width or line.startswith(" "):
        return line
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def _labelled(label: str, colour: str, text: str) -> None:
    text = _fitted(f"{label}: {printable(text, limit=_LIMIT)}", sys.stderr)
    if coloured(sys.stderr):
        text = click.style(label, fg=colour, bold=True) + text.removeprefix(label)
    _write(text, sys.stderr)


def _write(text: str, stream: TextIO, *, newline: bool = True) -> None:
    # an ASCII or cp1252 terminal must not turn an ellipsis into a traceback
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        click.echo(text.encode(encoding, "replace").decode(encoding), file=stream, nl=newline)
        stream.flush()
    except BrokenPipeError:
        _leave(stream)


def _leave(stream: TextIO) -> NoReturn:
    """End the command: nobody reads `stream` any more. Its job, if there is one, goes on without us."""
    # the interpreter flushes its streams once more when it ends; what is left then has to go somewhere
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, stream.fileno())
    finally:
        os.close(devnull)
    raise SystemExit(_CLOSED_PIPE_EXIT)
