"""What the processes of a job take of the machine: how many there are, and how much memory they hold.

Memory is what nobody else could use: private pages, swapped ones too, and the larger of what is shared between them and
what lies in the sandbox's file systems in memory, which are mostly the same pages. Program code and cached files do not
count. What a job may hide in the kernel (pipes, sockets) does not either.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from .descendants import descendants

_KIB = 1024
_PER_FILE = 1024
"""Bytes that the kernel keeps for each file of a file system in memory, however empty."""


@dataclass(frozen=True)
class Consumption:
    """What was found, of at most as many processes as were asked for.

    Attributes:
        processes: how many there are.
        threads: how many threads they have.
        memory: bytes that they hold.
    """

    processes: int = 0
    threads: int = 0
    memory: int = 0


class Processes:
    """The processes of one job, wherever they can be seen best.

    Args:
        supervisor: the pid of the job's supervisor, which has started them all.
        first: the first process of the sandbox that they are in, if they are in one.
    """

    def __init__(self, supervisor: int, first: int | None = None) -> None:
        self._supervisor, self._first = supervisor, first

    @classmethod
    def of_another(cls, supervisor: int) -> "Processes":
        """The processes of a job that another supervisor looks after."""
        return cls(supervisor, next(filter(_is_in_another_world, descendants(supervisor)), None))

    def look(self, most: int) -> Consumption:
        """Count them, and what they hold at most: shared pages are counted for each that maps them. Cheap.

        That holds also for pages that processes have from their common parent, and that none of them has changed.

        Args:
            most: with one more than so many, no further one is counted.
        """
        count = threads = private = shared = 0
        for folder in self._folders():
            found = _status(folder)
            count += 1
            threads += found.get("Threads", 0)
            private += _KIB * (found.get("RssAnon", 0) + found.get("VmSwap", 0))
            shared += _KIB * found.get("RssShmem", 0)
            if count > most:
                break
        return Consumption(count, threads, private + max(shared, self._in_file_systems()))

    def look_closely(self, most: int) -> Consumption:
        """Count them, and what they really hold, each page once. Takes the longer the more that is.

        Args:
            most: with one more than so many, no further one is counted.
        """
        count = private = shared = 0
        for folder in self._folders():
            own, common = _proportions(folder)
            count += 1
            private += own
            shared += common
            if count > most:
                break
        return Consumption(processes=count, memory=private + max(shared, self._in_file_systems()))

    def _folders(self) -> Iterator[str]:
        inside = self._proc_inside()
        if inside is None:
            yield from (f"/proc/{pid}" for pid in descendants(self._supervisor, zombies=True))
            return
        with suppress(OSError), os.scandir(inside) as entries:
            yield from (entry.path for entry in entries if entry.name.isdecimal())

    def _proc_inside(self) -> str | None:
        """The ``/proc`` of the sandbox, where there is nothing but the job; None if it is not there, or not yet."""
        if self._first is None:
            return None
        proc = f"/proc/{self._first}/root/proc"
        with suppress(OSError):
            # while it is made, and once its number is another's, another world is seen there
            if _world("/proc/self") != _world(f"/proc/{self._first}") == _world(f"{proc}/1"):
                return proc
        return None

    def _in_file_systems(self) -> int:
        """Bytes that lie in the file systems that the sandbox keeps in memory."""
        if self._proc_inside() is None:
            return 0
        taken = 0
        ours = _in_memory("/proc/self/mountinfo")  # a job that lies in one of these fills a disk, as far as we know
        for device, path in _in_memory(f"/proc/{self._first}/mountinfo").items():
            with suppress(OSError):
                place = f"/proc/{self._first}/root{path}"
                state = os.statvfs(place)
                # something else may be seen in its place
                if device not in ours and os.stat(place).st_dev == device:  # noqa: PTH116
                    taken += (state.f_blocks - state.f_bfree) * state.f_frsize
                    taken += (state.f_files - state.f_ffree) * _PER_FILE
        return taken


def _is_in_another_world(pid: int) -> bool:
    with suppress(OSError):
        return _world(f"/proc/{pid}") != _world("/proc/self")
    return False


def _world(folder: str) -> Path:
    """What tells the namespaces of pids apart."""
    return Path(f"{folder}/ns/pid").readlink()


def _in_memory(mounts: str) -> dict[int, str]:
    """The file systems in memory that can be written: device and place, as proc_pid_mountinfo(5) tells them."""
    found = {}
    with suppress(OSError), open(mounts) as lines:  # noqa: PTH123
        for line in lines:
            before, _, after = line.partition(" - ")
            fields = before.split()
            if after.startswith("tmpfs ") and "rw" in fields[5].split(","):
                major, minor = map(int, fields[2].split(":"))
                found[os.makedev(major, minor)] = fields[4]
    return found


def _status(folder: str) -> dict[str, int]:
    """The numbers in a process's ``status``; what is given in kB stays so."""
    with suppress(OSError), open(f"{folder}/status", "rb") as file:  # noqa: PTH123
        return dict(_numbers(file.read()))
    return {} if os.path.exists("/proc/self/status") else _portably(folder)  # noqa: PTH110


def _numbers(text: bytes) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        name, _, rest = line.partition(b":")
        words = rest.split()
        if words and words[0].isdigit():
            yield name.decode(errors="replace"), int(words[0])


def _proportions(folder: str) -> tuple[int, int]:
    """Bytes of private and of shared memory that a process maps, each page divided by how many map it."""
    found: dict[str, int] = {}
    with suppress(OSError), open(f"{folder}/smaps_rollup", "rb") as file:  # noqa: PTH123
        found = dict(_numbers(file.read()))
    if "Pss_Anon" in found:
        return _KIB * (found["Pss_Anon"] + found.get("SwapPss", 0)), _KIB * found.get("Pss_Shmem", 0)
    # an old kernel, or another system
    found = _status(folder)
    return _KIB * (found.get("RssAnon", 0) + found.get("VmSwap", 0)), _KIB * found.get("RssShmem", 0)


def _portably(folder: str) -> dict[str, int]:
    with suppress(psutil.Error):
        process = psutil.Process(int(folder.rpartition("/")[2]))
        return {"Threads": process.num_threads(), "RssAnon": process.memory_full_info().uss // _KIB}
    return {}
