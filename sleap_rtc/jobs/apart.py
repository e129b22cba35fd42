"""Answers each request in a process of its own, forked for it, of which nothing is left when the next one begins.

What answering takes is loaded once, and used in the forked processes alone: this one opens no stranger's file. Whatever
a file makes of the process that reads it ends with that process, and what comes of it is one line on a pipe, bounded in
size and time. Linux only.
"""

import os
import select
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from math import ceil
from pathlib import Path
from typing import NoReturn

from .findings import MAX_ANSWER, MAX_REQUEST, Failed
from .limits import lower
from .processes import adopt_orphans, die_with_parent, hide_memory, kill_descendants

Answer = Callable[[bytes], bytes]

_MEMORY = 4 * 1024**3
"""Address space for one answer, beyond what this process has."""
_LARGEST_FILE = 1024**2
"""Nothing is written but the log."""


def serve_apart(requests: FileIO, answers: FileIO, answer: Answer, within: float) -> None:
    """Answer lines until there are no more, or until something that was forked cannot be ended.

    Args:
        requests: where they come from; the next one comes when the last one is answered.
        answers: where one line goes for each: what `answer` returned, or a `Failed`.
        answer: called in the forked process; returns a line.
        within: seconds that it may take.
    """
    adopt_orphans()
    hide_memory()
    # wiped after each use: what is forked next must not find what others asked and were told
    request, said = bytearray(MAX_REQUEST), bytearray(MAX_ANSWER)
    while size := _read_line(requests, request):
        read, write = os.pipe()
        if os.fork() == 0:
            for descriptor in (requests, answers):
                descriptor.close()
            os.close(read)
            _answer_and_end(answer, bytes(memoryview(request)[:size]), write, within)
        os.close(write)
        request[:size] = bytes(size)
        with FileIO(read) as source:
            failed = _heard(source, said, within)
        if not kill_descendants():
            return
        _reap()
        _write(answers.fileno(), failed or memoryview(said)[: said.index(b"\n") + 1])
        said[:] = bytes(len(said))


def _heard(source: FileIO, said: bytearray, within: float) -> bytes | None:
    """Wait for a line; what to say instead of it where none comes."""
    try:
        ended = not _read_line(source, said, time.monotonic() + within)
    except TimeoutError:
        return _failed(f"it took longer than {within:g} seconds")
    return _failed("it ended over what it was to look at") if ended else None


def _failed(why: str) -> bytes:
    return Failed(failed=why).model_dump_json().encode() + b"\n"


def _read_line(source: FileIO, into: bytearray, deadline: float | None = None) -> int:
    """The length of the line that was read to the start of `into`, perhaps with more behind it; 0 if there is none.

    Raises:
        TimeoutError: if its end does not come in time.
    """
    room, have = memoryview(into), 0
    while have < len(into):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([source], [], [], left)[0]:
            raise TimeoutError
        count = source.readinto(room[have:])
        if not count:
            return 0
        if (end := into.find(b"\n", have, have + count)) >= 0:
            return end + 1
        have += count
    return 0


def _answer_and_end(answer: Answer, request: bytes, into: int, within: float) -> NoReturn:
    status = 1
    try:
        die_with_parent()
        _limit_resources(within)
        _write(into, answer(request))
        status = 0
    except BaseException:  # noqa: BLE001 - nothing may go on to where this process was forked
        traceback.print_exc()
    finally:
        os._exit(status)


def _limit_resources(within: float) -> None:
    import resource  # Windows has none

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    lower(resource.RLIMIT_AS, pages * resource.getpagesize() + _MEMORY)
    lower(resource.RLIMIT_FSIZE, _LARGEST_FILE)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_CPU, ceil(within))


def _write(descriptor: int, data: bytes | memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
